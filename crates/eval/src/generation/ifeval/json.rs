//! Whether `json.loads` of Python reads a text.

/// How deep lists and objects may lie in each other; Python stops at about this depth too.
const MAX_DEPTH: usize = 900;

/// Whether a text is JSON: with `NaN` and `Infinity`, numbers of any size, and single surrogates, as in Python.
pub(super) fn is_valid(text: &str) -> bool {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    reader.value(0).is_some() && {
        reader.blanks();
        reader.at == reader.bytes.len()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, expected: &str) -> Option<()> {
        self.bytes[self.at..].starts_with(expected.as_bytes()).then(|| self.at += expected.len())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.blanks();
        match self.peek()? {
            _ if depth > MAX_DEPTH => None,
            b'"' => self.string(),
            b'{' => self.items(b'}', |reader| {
                reader.blanks();
                reader.string()?;
                reader.blanks();
                reader.take(":")?;
                reader.value(depth + 1)
            }),
            b'[' => self.items(b']', |reader| reader.value(depth + 1)),
            _ => {
                let names = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];
                names.iter().find_map(|name| self.take(name)).or_else(|| self.number())
            }
        }
    }

    /// What stands between a bracket, commas and the other bracket.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.blanks();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                _ => return (next == end).then_some(()),
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.take("\"")?;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let digits = self.bytes.get(self.at..self.at + 4)?;
                            digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                            self.at += 4;
                        }
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.take("-");
        if self.take("0").is_none() {
            self.digits()?;
        }
        let start = self.at;
        if self.take(".").is_none() || self.digits().is_none() {
            self.at = start;
        }
        let start = self.at;
        let has_exponent = self.take("e").or_else(|| self.take("E")).is_some();
        if has_exponent {
            let _ = self.take("+").or_else(|| self.take("-"));
            if self.digits().is_none() {
                self.at = start;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn it_takes_what_python_takes() {
        let deep = "[".repeat(100_000);
        for text in
            ["1", " {\"a\": [1.5e3, -0, null]} ", "NaN", "[-Infinity]", "1e999", "\"\\ud800\"", "[]", "{}"]
        {
            assert!(is_valid(text), "{text}");
        }
        for text in [
            "",
            "{'a': 1}",
            "[1,]",
            "{\"a\" 1}",
            "01",
            "1.",
            "\"a\nb\"",
            "\"\\x\"",
            "tru",
            "[1] 2",
            "nan",
            "+1",
            &deep,
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
