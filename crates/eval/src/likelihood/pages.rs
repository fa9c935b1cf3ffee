//! Which pages of the cache are in use.

/// Pages with the number of sequences that use each.
#[derive(Debug, Default)]
pub(super) struct Pages {
    n_users: Vec<usize>,
    free: Vec<usize>,
}

impl Pages {
    /// A page that nobody uses, now with one user.
    pub(super) fn take(&mut self) -> usize {
        let page = self.free.pop().unwrap_or_else(|| {
            self.n_users.push(0);
            self.n_users.len() - 1
        });
        self.n_users[page] = 1;
        page
    }

    /// One more user, who does not write to it.
    pub(super) fn share(&mut self, page: usize) {
        self.n_users[page] += 1;
    }

    /// One user less.
    pub(super) fn release(&mut self, pages: &[usize]) {
        for &page in pages {
            self.n_users[page] -= 1;
            if self.n_users[page] == 0 {
                self.free.push(page);
            }
        }
    }

    /// How many there are, in use or free.
    pub(super) fn n_all(&self) -> usize {
        self.n_users.len()
    }

    /// How many are in use.
    #[cfg(test)]
    pub(super) fn n_used(&self) -> usize {
        self.n_users.len() - self.free.len()
    }
}
