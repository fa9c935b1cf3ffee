//! Who uses which page, and what the pages hold.

use std::collections::BTreeSet;

use tensor::PAGE_LEN;

/// Pages of [`PAGE_LEN`] positions, counted and shared; their numbers lie in a [`super::KvCache`].
///
/// Pages with tokens form a tree: a page's parent holds what stands before its tokens, so a path from a root spells the
/// beginning of a text, and texts with the same beginning share the path. A page that nobody uses keeps its tokens until
/// it is needed for others; those used longest ago go first.
#[derive(Debug)]
pub(super) struct PagePool {
    /// Every page that was ever handed out.
    nodes: Vec<Node>,
    /// Pages that hold nothing.
    empty: Vec<usize>,
    /// Pages that hold tokens and have no user, by the time of their last use.
    idle: BTreeSet<(u64, usize)>,
    /// Pages that begin a text.
    roots: Vec<usize>,
    capacity: usize,
    clock: u64,
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<usize>,
    children: Vec<usize>,
    ids: Vec<u32>,
    /// How many of them have their keys and values written.
    n_ready: usize,
    n_users: usize,
    last_use: u64,
}

/// A page that begins with wanted tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) page: usize,
    /// How many tokens agree.
    pub(super) n: usize,
    /// Whether their keys and values are written.
    pub(super) is_ready: bool,
}

impl PagePool {
    /// At most `capacity` pages.
    pub(super) fn new(capacity: usize) -> Self {
        let (nodes, empty, roots) = Default::default();
        Self { nodes, empty, idle: BTreeSet::new(), roots, capacity, clock: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Pages that were ever handed out: as many must lie in memory.
    pub(super) fn n_touched(&self) -> usize {
        self.nodes.len()
    }

    /// Pages that can be handed out.
    pub(super) fn n_available(&self) -> usize {
        self.capacity - self.n_used()
    }

    /// Pages that sequences use.
    pub(super) fn n_used(&self) -> usize {
        self.nodes.len() - self.empty.len() - self.idle.len()
    }

    pub(super) fn n_users(&self, page: usize) -> usize {
        self.nodes[page].n_users
    }

    /// A page for what follows `parent`, with one user and no token yet; `None` if all are in use.
    pub(super) fn take(&mut self, parent: Option<usize>) -> Option<usize> {
        let page = match self.empty.pop() {
            Some(page) => page,
            None if self.nodes.len() < self.capacity => {
                self.nodes.push(Node::default());
                self.nodes.len() - 1
            }
            None => self.evict()?,
        };
        self.nodes[page] = Node { parent, n_users: 1, ..Node::default() };
        self.siblings(parent).push(page);
        Some(page)
    }

    /// Empties the page that was used longest ago and that nothing hangs on.
    fn evict(&mut self) -> Option<usize> {
        let &(_, mut page) = self.idle.first()?;
        // Whoever uses a page uses those before it too, later: what was used longest ago has no children. Were it not so, they
        // would have no user either.
        while let Some(&child) = self.nodes[page].children.first() {
            page = child;
        }
        self.idle.remove(&(self.nodes[page].last_use, page));
        self.detach(page);
        Some(page)
    }

    fn detach(&mut self, page: usize) {
        let parent = self.nodes[page].parent;
        self.siblings(parent).retain(|other| *other != page);
        self.nodes[page].ids.clear();
    }

    fn siblings(&mut self, parent: Option<usize>) -> &mut Vec<usize> {
        match parent {
            Some(parent) => &mut self.nodes[parent].children,
            None => &mut self.roots,
        }
    }

    /// The page behind `parent` that agrees with `ids` the longest; of several, one that is ready.
    pub(super) fn find(&self, parent: Option<usize>, ids: &[u32]) -> Option<Found> {
        self.candidates(parent, ids)
            .max_by_key(|found| (found.n, found.is_ready, std::cmp::Reverse(found.page)))
    }

    /// As [`PagePool::find`], of what is ready, with as many tokens as are ready.
    pub(super) fn find_ready(&self, parent: Option<usize>, ids: &[u32]) -> Option<Found> {
        let ready = |found: Found| {
            let n = found.n.min(self.nodes[found.page].n_ready);
            (n > 0).then_some(Found { n, is_ready: true, ..found })
        };
        self.candidates(parent, ids)
            .filter_map(ready)
            .max_by_key(|found| (found.n, std::cmp::Reverse(found.page)))
    }

    fn candidates(&self, parent: Option<usize>, ids: &[u32]) -> impl Iterator<Item = Found> {
        let pages = match parent {
            Some(parent) => &self.nodes[parent].children,
            None => &self.roots,
        };
        pages.iter().filter_map(move |&page| {
            let node = &self.nodes[page];
            let n = node.ids.iter().zip(ids).take_while(|(a, b)| a == b).count();
            (n > 0).then_some(Found { page, n, is_ready: n <= node.n_ready })
        })
    }

    /// Whether a page holds these `n` tokens and no other.
    pub(super) fn ends_after(&self, page: usize, n: usize) -> bool {
        self.nodes[page].ids.len() == n
    }

    /// Whether a page can be taken without this idle one.
    pub(super) fn has_other_than(&self, page: usize) -> bool {
        let is_idle = self.nodes[page].n_users == 0;
        !self.empty.is_empty() || self.nodes.len() < self.capacity || self.idle.len() > usize::from(is_idle)
    }

    /// One more user.
    pub(super) fn retain(&mut self, page: usize) {
        let node = &mut self.nodes[page];
        if node.n_users == 0 {
            self.idle.remove(&(node.last_use, page));
        }
        node.n_users += 1;
    }

    /// One user less of each page of a sequence, in its order. Tokens whose keys and values were never written go.
    pub(super) fn release(&mut self, pages: &[usize]) {
        // From the end: what stands before was used later, and goes later.
        for &page in pages.iter().rev() {
            self.clock += 1;
            let node = &mut self.nodes[page];
            node.n_users -= 1;
            if node.n_users > 0 {
                continue;
            }
            node.ids.truncate(node.n_ready);
            if node.ids.is_empty() {
                self.detach(page);
                self.empty.push(page);
            } else {
                node.last_use = self.clock;
                self.idle.insert((self.clock, page));
            }
        }
    }

    /// Forgets all but the first `n` tokens of a page with one user.
    pub(super) fn truncate(&mut self, page: usize, n: usize) {
        let node = &mut self.nodes[page];
        debug_assert!(node.n_users == 1 && node.children.is_empty());
        node.ids.truncate(n);
        node.n_ready = node.n_ready.min(n);
    }

    /// Adds tokens whose keys and values are about to be written.
    pub(super) fn append(&mut self, page: usize, ids: &[u32]) {
        let node = &mut self.nodes[page];
        node.ids.extend_from_slice(ids);
        debug_assert!(node.ids.len() <= PAGE_LEN && node.n_users == 1);
    }

    /// Keys and values of all tokens of the page are written.
    pub(super) fn set_ready(&mut self, page: usize) {
        let node = &mut self.nodes[page];
        node.n_ready = node.ids.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &mut PagePool, parent: Option<usize>, ids: &[u32]) -> usize {
        let page = pool.take(parent).unwrap();
        pool.append(page, ids);
        pool.set_ready(page);
        page
    }

    #[test]
    fn texts_with_the_same_beginning_find_it() {
        let mut pool = PagePool::new(8);
        let full: Vec<u32> = (0..PAGE_LEN as u32).collect();
        let a = filled(&mut pool, None, &full);
        let b = filled(&mut pool, Some(a), &[7, 8, 9]);
        let c = filled(&mut pool, Some(a), &[7, 1]);
        let found = |page, n| Some(Found { page, n, is_ready: true });
        assert_eq!(pool.find(None, &full), found(a, PAGE_LEN));
        assert_eq!(pool.find(None, &full[..5]), found(a, 5));
        assert_eq!(pool.find(Some(a), &[7, 8, 1]), found(b, 2));
        assert_eq!(pool.find(Some(a), &[7, 1, 2, 3]), found(c, 2));
        assert_eq!(
            (pool.find(Some(a), &[1]), pool.find(None, &[7]), pool.find(Some(b), &[7])),
            (None, None, None)
        );
        // The same tokens behind others are another text.
        let d = filled(&mut pool, None, &[7, 8, 9]);
        assert_eq!(pool.find(None, &[7, 8, 9]), found(d, 3));
        // What is about to be written is found, and is not ready.
        pool.append(c, &[2]);
        assert_eq!(pool.find(Some(a), &[7, 1, 2, 3]), Some(Found { page: c, n: 3, is_ready: false }));
        assert_eq!(pool.find_ready(Some(a), &[7, 1, 2, 3]), found(c, 2));
    }

    #[test]
    fn pages_keep_their_tokens_until_they_are_needed() {
        let mut pool = PagePool::new(3);
        let a = filled(&mut pool, None, &[1; PAGE_LEN]);
        let b = filled(&mut pool, Some(a), &[2]);
        let c = filled(&mut pool, None, &[3]);
        assert_eq!((pool.take(None), pool.n_available(), pool.n_used()), (None, 0, 3));
        pool.release(&[a, b]);
        pool.release(&[c]);
        assert_eq!((pool.n_available(), pool.n_used()), (3, 0));
        pool.retain(a);
        pool.release(&[a]);
        // Longest ago: b, whose parent was used again; then c; then a.
        assert_eq!(pool.take(None), Some(b));
        assert_eq!(pool.find(Some(a), &[2]), None);
        assert!(pool.find(None, &[3]).is_some());
        assert_eq!(pool.take(None), Some(c));
        assert!(pool.find(None, &[3]).is_none() && pool.find(None, &[1]).is_some());
        assert_eq!((pool.take(None), pool.take(None)), (Some(a), None));
    }

    #[test]
    fn what_was_never_written_is_forgotten() {
        let mut pool = PagePool::new(2);
        let a = filled(&mut pool, None, &[1, 2]);
        pool.append(a, &[3]);
        let b = pool.take(None).unwrap();
        pool.append(b, &[9]);
        pool.release(&[a]);
        pool.release(&[b]);
        assert_eq!(pool.find(None, &[1, 2, 3]), Some(Found { page: a, n: 2, is_ready: true }));
        assert_eq!(pool.find(None, &[9]), None);
        assert_eq!((pool.n_used(), pool.n_available()), (0, 2));
    }
}
