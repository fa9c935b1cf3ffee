//! Template text to tokens, with the blanks around tags as Jinja2 cuts them under `trim_blocks` and `lstrip_blocks`.

use super::{
    ast::Name,
    failure::{Result, fail, unsupported},
    number::MAX_INT,
    text::{Char, Text, is_space, trim},
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Data(Text),
    PrintBegin,
    PrintEnd,
    BlockBegin,
    BlockEnd,
    Name(Name),
    Text(Text),
    Int(i128),
    Float(f64),
    Sign(&'static str),
    End,
}

impl Token {
    /// How it looks in an error.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Data(_) => "text".into(),
            Self::PrintBegin => "`{{`".into(),
            Self::PrintEnd => "`}}`".into(),
            Self::BlockBegin => "`{%`".into(),
            Self::BlockEnd => "`%}`".into(),
            Self::Name(name) => format!("`{name}`"),
            Self::Text(_) => "a string".into(),
            Self::Int(n) => format!("`{n}`"),
            Self::Float(x) => format!("`{x}`"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end of the template".into(),
        }
    }
}

/// Longest first, so that `**` is not read as two `*`.
const SIGNS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",", ";",
];

/// The tokens of a template, each with its line.
pub(crate) fn tokens(source: &str) -> Result<Vec<(Token, u32)>> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let chars: Vec<Char> = source.chars().map(u32::from).collect();
    let mut lexer = Lexer { chars, at: 0, line: 1, starts_line: true, open: Vec::new(), tokens: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.root().map_err(|failure| failure.at(lexer.line))?;
    }
    lexer.tokens.push((Token::End, lexer.line));
    Ok(lexer.tokens)
}

struct Lexer {
    chars: Vec<Char>,
    at: usize,
    line: u32,
    /// Whether what was read last ended in a line's end.
    starts_line: bool,
    /// Brackets that wait for their end.
    open: Vec<&'static str>,
    tokens: Vec<(Token, u32)>,
}

impl Lexer {
    /// Text up to the next tag, and the tag.
    fn root(&mut self) -> Result<()> {
        let start = self.at;
        let is_tag = |i: &usize| {
            self.chars[*i] == u32::from('{')
                && self
                    .chars
                    .get(i + 1)
                    .is_some_and(|c| [u32::from('%'), u32::from('{'), u32::from('#')].contains(c))
        };
        let Some(tag) = (start..self.chars.len()).find(is_tag) else {
            let text = self.chars[start..].to_vec();
            self.advance(self.chars.len());
            self.tokens.push((Token::Data(text.into()), self.line));
            return Ok(());
        };
        let kind = self.chars[tag + 1];
        let sign = self.chars.get(tag + 2).copied().filter(|c| [u32::from('-'), u32::from('+')].contains(c));
        let mut text = &self.chars[start..tag];
        if sign == Some(u32::from('-')) {
            text = trim(text, false, true, is_space);
        } else if sign.is_none() && kind != u32::from('{') {
            let line_start = text.iter().rposition(|c| *c == u32::from('\n')).map_or(0, |at| at + 1);
            if (line_start > 0 || self.starts_line) && text[line_start..].iter().all(|c| is_space(*c)) {
                text = &text[..line_start];
            }
        }
        if !text.is_empty() {
            let text: Text = text.to_vec().into();
            self.tokens.push((Token::Data(text), self.line));
        }
        let inside = tag + 2 + usize::from(sign.is_some());
        if kind == u32::from('%')
            && let Some(end) = self.raw_begin(inside)
        {
            self.advance(end);
            return self.raw();
        }
        self.advance(inside);
        match char::from_u32(kind) {
            Some('#') => self.comment(),
            Some('{') => {
                self.tokens.push((Token::PrintBegin, self.line));
                self.code(false)
            }
            _ => {
                self.tokens.push((Token::BlockBegin, self.line));
                self.code(true)
            }
        }
    }

    /// The end of `{% raw %}`, where that stands behind `{%` and its sign.
    fn raw_begin(&self, inside: usize) -> Option<usize> {
        let mut at = self.skip_space(inside);
        at = self.starts(at, "raw")?;
        at = self.skip_space(at);
        match self.starts(at, "-%}") {
            Some(end) => Some(self.skip_space(end)),
            None => self.starts(at, "%}"),
        }
    }

    /// What stands behind `{% raw %}`, up to the end of `{% endraw %}`.
    fn raw(&mut self) -> Result<()> {
        let start = self.at;
        for tag in start..self.chars.len() {
            let Some(mut at) = self.starts(tag, "{%") else { continue };
            let sign = self.chars.get(at).copied().filter(|c| [u32::from('-'), u32::from('+')].contains(c));
            at += usize::from(sign.is_some());
            let Some(at) = self.starts(self.skip_space(at), "endraw") else { continue };
            let Some(end) = self.tag_end(self.skip_space(at), "%}") else { continue };
            let mut text = &self.chars[start..tag];
            if sign == Some(u32::from('-')) {
                text = trim(text, false, true, is_space);
            } else if sign.is_none() {
                let line_start = text.iter().rposition(|c| *c == u32::from('\n')).map_or(0, |at| at + 1);
                if (line_start > 0 || self.starts_line) && text[line_start..].iter().all(|c| is_space(*c)) {
                    text = &text[..line_start];
                }
            }
            if !text.is_empty() {
                let text: Text = text.to_vec().into();
                self.tokens.push((Token::Data(text), self.line));
            }
            self.advance(end);
            return Ok(());
        }
        fail("expected `{% endraw %}`, found the end of the template")
    }

    fn comment(&mut self) -> Result<()> {
        match (self.at..self.chars.len()).find_map(|at| self.tag_end(at, "#}")) {
            Some(end) => {
                self.advance(end);
                Ok(())
            }
            None => fail("expected `#}`, found the end of the template"),
        }
    }

    /// The place behind a tag's end, the blanks that it takes included.
    fn tag_end(&self, at: usize, end: &str) -> Option<usize> {
        if let Some(at) = self.starts(at, "-") {
            return self.starts(at, end).map(|at| self.skip_space(at));
        }
        if let Some(at) = self.starts(at, "+") {
            return self.starts(at, end);
        }
        let at = self.starts(at, end)?;
        Some(at + usize::from(self.chars.get(at) == Some(&u32::from('\n'))))
    }

    /// Expressions up to the end of their tag.
    fn code(&mut self, block: bool) -> Result<()> {
        self.open.clear();
        while self.at < self.chars.len() {
            let end = if !self.open.is_empty() {
                None
            } else if block {
                self.tag_end(self.at, "%}")
            } else if let Some(at) = self.starts(self.at, "-}}") {
                Some(self.skip_space(at))
            } else {
                self.starts(self.at, "}}")
            };
            if let Some(end) = end {
                self.tokens.push((if block { Token::BlockEnd } else { Token::PrintEnd }, self.line));
                self.advance(end);
                return Ok(());
            }
            if is_space(self.chars[self.at]) {
                self.advance(self.skip_space(self.at));
            } else {
                let (token, end) = self.token()?;
                self.tokens.push((token, self.line));
                self.advance(end);
            }
        }
        Ok(())
    }

    fn token(&mut self) -> Result<(Token, usize)> {
        let first = char::from_u32(self.chars[self.at]).unwrap_or_default();
        if first.is_ascii_digit() {
            return self.number();
        }
        let is_word = |c: &Char| char::from_u32(*c).is_some_and(|c| c.is_alphanumeric() || c == '_');
        if is_word(&self.chars[self.at]) {
            let end = self.at + self.chars[self.at..].iter().take_while(|c| is_word(c)).count();
            let name: String = self.chars[self.at..end].iter().filter_map(|c| char::from_u32(*c)).collect();
            if first.is_numeric() {
                return fail(format!("expected an identifier, found `{name}`"));
            }
            return Ok((Token::Name(name.into()), end));
        }
        if first == '\'' || first == '"' {
            let mut at = self.at + 1;
            while let Some(c) = self.chars.get(at) {
                if *c == u32::from(first) {
                    let text = unescape(&self.chars[self.at + 1..at])?;
                    return Ok((Token::Text(text.into()), at + 1));
                }
                at += if *c == u32::from('\\') { 2 } else { 1 };
            }
            return fail("expected the end of a string, found the end of the template");
        }
        let Some(sign) = SIGNS.into_iter().find(|sign| self.starts(self.at, sign).is_some()) else {
            return fail(format!("expected an expression, found the character `{}`", first.escape_debug()));
        };
        match sign {
            "{" => self.open.push("}"),
            "(" => self.open.push(")"),
            "[" => self.open.push("]"),
            "}" | ")" | "]" if self.open.pop() != Some(sign) => return fail(format!("unexpected `{sign}`")),
            _ => {}
        }
        Ok((Token::Sign(sign), self.at + sign.len()))
    }

    fn number(&self) -> Result<(Token, usize)> {
        let digit = |at: usize, radix: u32| {
            self.chars.get(at).and_then(|c| char::from_u32(*c)).is_some_and(|c| c.is_digit(radix))
        };
        let is = |at: usize, wanted: &str| {
            self.chars.get(at).and_then(|c| char::from_u32(*c)).is_some_and(|c| wanted.contains(c))
        };
        // Digits, perhaps with single underscores between them.
        let digits = |start: usize, radix: u32| {
            let mut at = start;
            while digit(at, radix) || (at > start && is(at, "_") && digit(at + 1, radix)) {
                at += 1;
            }
            at
        };
        let text = |start: usize, end: usize| -> String {
            let chars = self.chars[start..end].iter().filter_map(|c| char::from_u32(*c));
            chars.filter(|c| *c != '_').collect()
        };
        let integer_end = digits(self.at, 10);
        let fraction_end = match is(integer_end, ".") && digit(integer_end + 1, 10) {
            true => digits(integer_end + 1, 10),
            false => integer_end,
        };
        let mut end = fraction_end;
        if is(fraction_end, "eE") {
            let sign = usize::from(is(fraction_end + 1, "+-"));
            if digit(fraction_end + 1 + sign, 10) {
                end = digits(fraction_end + 1 + sign, 10);
            }
        }
        let behind_dot = self.at > 0 && self.chars[self.at - 1] == u32::from('.');
        if end > integer_end && !behind_dot {
            let value = text(self.at, end).parse().unwrap_or(f64::INFINITY);
            return Ok((Token::Float(value), end));
        }
        for (prefix, radix) in [("bB", 2), ("oO", 8), ("xX", 16)] {
            let start = self.at + 2 + usize::from(is(self.at + 2, "_"));
            if is(self.at, "0") && is(self.at + 1, prefix) && digit(start, radix) {
                let end = digits(start, radix);
                return match i128::from_str_radix(&text(start, end), radix) {
                    Ok(n) if n.unsigned_abs() <= MAX_INT => Ok((Token::Int(n), end)),
                    _ => unsupported("the template uses an integer of more than 126 bits"),
                };
            }
        }
        let end = if is(self.at, "0") {
            let mut at = self.at + 1;
            while is(at, "0") || (is(at, "_") && is(at + 1, "0")) {
                at += 1;
            }
            at
        } else {
            integer_end
        };
        match text(self.at, end).parse::<i128>() {
            Ok(n) if n.unsigned_abs() <= MAX_INT => Ok((Token::Int(n), end)),
            _ => unsupported("the template uses an integer of more than 126 bits"),
        }
    }

    fn skip_space(&self, at: usize) -> usize {
        at + self.chars[at.min(self.chars.len())..].iter().take_while(|c| is_space(**c)).count()
    }

    /// The place behind `text`, where that stands at `at`.
    fn starts(&self, at: usize, text: &str) -> Option<usize> {
        let rest = self.chars.get(at..)?;
        let len = text.chars().count();
        (rest.len() >= len && rest.iter().zip(text.chars()).all(|(a, b)| *a == u32::from(b)))
            .then_some(at + len)
    }

    fn advance(&mut self, to: usize) {
        let passed = &self.chars[self.at..to];
        self.line += passed.iter().filter(|c| **c == u32::from('\n')).count() as u32;
        self.starts_line = passed.last() == Some(&u32::from('\n'));
        self.at = to;
    }
}

/// A string literal's escapes, as Python's `unicode-escape` reads them.
fn unescape(raw: &[Char]) -> Result<Vec<Char>> {
    let mut text = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != u32::from('\\') {
            text.push(raw[at]);
            at += 1;
            continue;
        }
        let Some(escaped) = raw.get(at + 1).and_then(|c| char::from_u32(*c)) else {
            return fail("a string ends in a lone backslash");
        };
        at += 2;
        let hex = |n: usize| -> Result<u32> {
            let digits: Option<String> =
                raw.get(at..at + n).map(|digits| digits.iter().filter_map(|c| char::from_u32(*c)).collect());
            match digits
                .filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()))
                .map(|d| u32::from_str_radix(&d, 16))
            {
                Some(Ok(code)) if code <= 0x10_ffff => Ok(code),
                _ => fail(format!("expected {n} hexadecimal digits behind `\\{escaped}`")),
            }
        };
        match escaped {
            '\n' => {}
            '\\' | '\'' | '"' => text.push(u32::from(escaped)),
            'a' => text.push(7),
            'b' => text.push(8),
            'f' => text.push(12),
            'n' => text.push(10),
            'r' => text.push(13),
            't' => text.push(9),
            'v' => text.push(11),
            '0'..='7' => {
                let n = 1 + raw[at..].iter().take(2).take_while(|c| (0x30..0x38).contains(*c)).count();
                text.push(raw[at - 1..at - 1 + n].iter().fold(0, |code, c| code * 8 + (c - 0x30)));
                at += n - 1;
            }
            'x' => {
                text.push(hex(2)?);
                at += 2;
            }
            'u' => {
                text.push(hex(4)?);
                at += 4;
            }
            'U' => {
                text.push(hex(8)?);
                at += 8;
            }
            'N' => return unsupported("the template names a character by `\\N`"),
            // Jinja2 writes such a character as an escape first, whose backslash this one then escapes.
            other if !other.is_ascii() => {
                let code = u32::from(other);
                let spelled = match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                };
                text.extend(spelled.chars().map(u32::from));
            }
            other => text.extend([u32::from('\\'), u32::from(other)]),
        }
    }
    Ok(text)
}
