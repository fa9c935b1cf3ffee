//! Tokens to statements, by the grammar of Jinja2 3.1 with `{% break %}`, `{% continue %}` and `{% generation %}`.

mod expression;

use std::sync::Arc;

use super::{
    ast::{Body, Expr, Filter, For, Macro, Name, Node, Statement, Target},
    failure::{Failure, Kind, Result, fail, unsupported},
    lexer::{self, Token},
    text::Text,
};

/// Longest template that is read: published ones have some ten thousand characters.
const MAX_SOURCE: usize = 1 << 20;
/// Statements within one another; Python refuses more than 20 loops.
const MAX_BLOCKS: u32 = 50;
/// Brackets, conditions and signs within one another; Jinja2 itself gives up before 100.
const MAX_NESTING: u32 = 100;
/// Parameters of a macro, and keyword arguments of a call.
const MAX_NAMES: usize = 500;
/// Height of an expression: chains of operators and filters count too. Jinja2 itself gives up before 500.
const MAX_HEIGHT: u32 = 500;

/// Parses a template.
pub(crate) fn parse(source: &str) -> Result<Vec<Node>> {
    if source.len() > MAX_SOURCE {
        let found = source.len();
        return Err(Failure::new(
            Kind::Limit,
            format!("a template has at most {MAX_SOURCE} bytes, found {found}"),
        ));
    }
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser { tokens, at: 0, blocks: 0, nesting: 0, height: 0, loops: 0, soft: 0 };
    let nodes = parser.statements(&[]).map_err(|failure| failure.at(parser.line()))?;
    Ok(nodes)
}

struct Parser {
    tokens: Vec<(Token, u32)>,
    at: usize,
    blocks: u32,
    nesting: u32,
    /// Of the expression that was parsed last.
    height: u32,
    /// Loops around the current statement, up to the next macro.
    loops: u32,
    /// Conditions around the current place: an unknown filter is an error there only when it is reached.
    soft: u32,
}

impl Parser {
    fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(found) if **found == *name)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let here = self.is_name(name);
        if here {
            self.next();
        }
        here
    }

    fn skip_sign(&mut self, sign: &str) -> bool {
        let here = self.is_sign(sign);
        if here {
            self.next();
        }
        here
    }

    fn wrong<T>(&self, expected: &str) -> Result<T> {
        fail(format!("expected {expected}, found {}", self.peek().describe()))
    }

    fn expect_sign(&mut self, sign: &str) -> Result<()> {
        if self.skip_sign(sign) { Ok(()) } else { self.wrong(&format!("`{sign}`")) }
    }

    fn expect_name(&mut self) -> Result<Name> {
        match self.peek().clone() {
            Token::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => self.wrong("a name"),
        }
    }

    fn expect(&mut self, token: &Token) -> Result<()> {
        if self.peek() == token {
            self.next();
            return Ok(());
        }
        self.wrong(&token.describe())
    }

    /// Statements up to a tag among `ends`, whose name is left to be read; without ends, to the end of the template.
    fn statements(&mut self, ends: &[&str]) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            let line = self.line();
            match self.peek().clone() {
                Token::Data(text) => {
                    self.next();
                    nodes.push(Node { line, statement: Statement::Data(text) });
                }
                Token::PrintBegin => {
                    self.next();
                    let expr = self.tuple(true, &[], false)?;
                    self.expect(&Token::PrintEnd)?;
                    nodes.push(Node { line, statement: Statement::Print(expr) });
                }
                Token::BlockBegin => {
                    self.next();
                    let Token::Name(name) = self.peek().clone() else { return self.wrong("a tag's name") };
                    if ends.contains(&&*name) {
                        return Ok(nodes);
                    }
                    self.blocks += 1;
                    if self.blocks > MAX_BLOCKS {
                        return Err(Failure::new(
                            Kind::Limit,
                            format!("more than {MAX_BLOCKS} nested statements"),
                        ));
                    }
                    self.next();
                    let statements = self.statement(&name).map_err(|failure| failure.at(line))?;
                    nodes.extend(statements.into_iter().map(|statement| Node { line, statement }));
                    self.blocks -= 1;
                    self.expect(&Token::BlockEnd)?;
                }
                Token::End if ends.is_empty() => return Ok(nodes),
                _ => return self.wrong(&format!("{{% {} %}}", ends.join(" %} or {% "))),
            }
        }
    }

    /// The body of a statement, the rest of its opening tag included; the name of the closing tag is the second part.
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Node>, Name)> {
        self.skip_sign(":");
        self.expect(&Token::BlockEnd)?;
        let nodes = self.statements(ends)?;
        Ok((nodes, self.expect_name()?))
    }

    fn scope(&mut self, end: &str) -> Result<Body> {
        let (nodes, _) = self.body(&[end])?;
        Ok(Body { nodes, unset: Vec::new() })
    }

    fn statement(&mut self, name: &str) -> Result<Vec<Statement>> {
        let statement = match name {
            "for" => self.for_loop()?,
            "if" => self.condition()?,
            "set" => self.set()?,
            "macro" => {
                let name = self.expect_name()?;
                let (params, defaults) = self.signature()?;
                Statement::Macro(Arc::new(self.function(Some(name), params, defaults, "endmacro")?))
            }
            "call" => {
                let (params, defaults) =
                    if self.is_sign("(") { self.signature()? } else { (Vec::new(), Vec::new()) };
                let call = self.expression()?;
                if !matches!(call, Expr::Call(_)) {
                    return fail("expected a call in `{% call %}`");
                }
                Statement::CallBlock(
                    Box::new(call),
                    Arc::new(self.function(None, params, defaults, "endcall")?),
                )
            }
            "generation" => {
                let loops = std::mem::take(&mut self.loops);
                let soft = std::mem::take(&mut self.soft);
                let body = self.scope("endgeneration")?;
                (self.loops, self.soft) = (loops, soft);
                Statement::Generation(body)
            }
            "filter" => {
                let filters = self.filters(true)?;
                Statement::FilterBlock(filters, self.scope("endfilter")?)
            }
            "with" => self.with()?,
            "print" => {
                let mut prints = Vec::new();
                while *self.peek() != Token::BlockEnd {
                    if !prints.is_empty() {
                        self.expect_sign(",")?;
                    }
                    prints.push(Statement::Print(self.expression()?));
                }
                return Ok(prints);
            }
            "break" | "continue" if self.loops == 0 => {
                return fail(format!("`{{% {name} %}}` stands outside of a loop"));
            }
            "break" => Statement::Break,
            "continue" => Statement::Continue,
            "block" | "extends" | "include" | "import" | "from" | "autoescape" => {
                return unsupported(format!("the template uses `{{% {name} %}}`"));
            }
            other => return fail(format!("there is no tag `{other}`, or it stands in the wrong place")),
        };
        Ok(vec![statement])
    }

    fn for_loop(&mut self) -> Result<Statement> {
        let target = self.target(&["in"], false)?;
        if !self.skip_name("in") {
            return self.wrong("`in`");
        }
        let iter = self.tuple(false, &["recursive"], false)?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let soft = std::mem::take(&mut self.soft);
        self.loops += 1;
        let (body, end) = self.body(&["endfor", "else"])?;
        self.loops -= 1;
        let otherwise = if *end == *"else" { self.body(&["endfor"])?.0 } else { Vec::new() };
        self.soft = soft;
        let sets_namespace = test.is_some() && sets_namespace(&body);
        let scope = |nodes| Body { nodes, unset: Vec::new() };
        Ok(Statement::For(Arc::new(For {
            target,
            iter,
            test,
            recursive,
            body: scope(body),
            otherwise: scope(otherwise),
            sets_namespace,
        })))
    }

    fn condition(&mut self) -> Result<Statement> {
        let mut branches = Vec::new();
        self.soft += 1;
        loop {
            let test = self.tuple(false, &[], false)?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            let otherwise = match &*end {
                "elif" => continue,
                "else" => self.body(&["endif"])?.0,
                _ => Vec::new(),
            };
            self.soft -= 1;
            return Ok(Statement::If(branches, otherwise));
        }
    }

    fn set(&mut self) -> Result<Statement> {
        let target = self.target(&[], true)?;
        if self.skip_sign("=") {
            return Ok(Statement::Set(target, self.tuple(true, &[], false)?));
        }
        let filters = self.filters(false)?;
        let body = self.scope("endset")?;
        Ok(Statement::SetBlock(target, filters, body))
    }

    fn with(&mut self) -> Result<Statement> {
        let mut targets = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !targets.is_empty() {
                self.expect_sign(",")?;
            }
            let target = self.target(&[], false)?;
            self.expect_sign("=")?;
            targets.push((target, self.expression()?));
        }
        Ok(Statement::With(targets, self.scope("endwith")?))
    }

    fn signature(&mut self) -> Result<(Vec<Name>, Vec<Expr>)> {
        let (mut params, mut defaults) = (Vec::new(), Vec::new());
        self.expect_sign("(")?;
        while !self.is_sign(")") {
            if !params.is_empty() {
                self.expect_sign(",")?;
            }
            params.push(self.assignable()?);
            if params.len() > MAX_NAMES {
                return fail(format!("more than {MAX_NAMES} parameters"));
            }
            if self.skip_sign("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return fail("a parameter without a default follows one with a default");
            }
        }
        self.expect_sign(")")?;
        Ok((params, defaults))
    }

    fn function(
        &mut self,
        name: Option<Name>,
        params: Vec<Name>,
        defaults: Vec<Expr>,
        end: &str,
    ) -> Result<Macro> {
        let loops = std::mem::take(&mut self.loops);
        let soft = std::mem::take(&mut self.soft);
        let body = self.scope(end)?;
        (self.loops, self.soft) = (loops, soft);
        let uses =
            |name: &str| !params.iter().any(|p| **p == *name) && super::scope::mentions(&body.nodes, name);
        let (uses_caller, uses_kwargs, uses_varargs) = (uses("caller"), uses("kwargs"), uses("varargs"));
        Ok(Macro { name, params, defaults, body, uses_caller, uses_kwargs, uses_varargs })
    }

    fn assignable(&mut self) -> Result<Name> {
        let name = self.expect_name()?;
        if ["true", "false", "none", "True", "False", "None"].contains(&&*name) {
            return fail(format!("cannot assign to `{name}`"));
        }
        Ok(name)
    }

    /// What an assignment assigns to, up to one of `ends` or what ends a tuple.
    fn target(&mut self, ends: &[&str], attributes: bool) -> Result<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            if !targets.is_empty() {
                self.expect_sign(",")?;
            }
            if self.is_tuple_end(ends) {
                break;
            }
            if self.skip_sign("(") {
                self.nest()?;
                targets.push(self.target(&[], attributes)?);
                self.nesting -= 1;
                self.expect_sign(")")?;
            } else {
                let name = self.assignable()?;
                let is_attribute = attributes && self.skip_sign(".");
                targets.push(match is_attribute {
                    true => Target::Attribute(name, self.expect_name()?),
                    false => Target::Name(name),
                });
            }
            if !self.is_sign(",") {
                break;
            }
            is_tuple = true;
        }
        match (is_tuple, targets.len()) {
            (false, 0) => self.wrong("a name"),
            (false, _) => Ok(targets.remove(0)),
            (true, _) => Ok(Target::Tuple(targets)),
        }
    }

    fn is_tuple_end(&self, ends: &[&str]) -> bool {
        matches!(self.peek(), Token::PrintEnd | Token::BlockEnd | Token::Sign(")"))
            || ends.iter().any(|end| self.is_name(end))
    }

    fn nest(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Failure::new(Kind::Limit, format!("more than {MAX_NESTING} nested expressions")));
        }
        Ok(())
    }

    /// Notes the height of an expression whose highest part is `height`.
    fn grow(&mut self, height: u32) -> Result<()> {
        self.height = height + 1;
        if self.height > MAX_HEIGHT {
            return Err(Failure::new(
                Kind::Limit,
                format!("an expression of more than {MAX_HEIGHT} chained parts"),
            ));
        }
        Ok(())
    }

    fn filters(&mut self, first: bool) -> Result<Vec<Filter>> {
        let mut filters = Vec::new();
        while (first && filters.is_empty()) || self.skip_sign("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }
}

/// Whether a body assigns an attribute or calls what may do so.
fn sets_namespace(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match &node.statement {
        Statement::Set(Target::Attribute(..), _) | Statement::SetBlock(Target::Attribute(..), ..) => true,
        Statement::Set(Target::Tuple(targets), _) => {
            targets.iter().any(|t| matches!(t, Target::Attribute(..)))
        }
        Statement::If(branches, otherwise) => {
            branches.iter().any(|(_, body)| sets_namespace(body)) || sets_namespace(otherwise)
        }
        Statement::For(inner) => sets_namespace(&inner.body.nodes) || sets_namespace(&inner.otherwise.nodes),
        Statement::Macro(_) | Statement::CallBlock(..) => true,
        Statement::Generation(body)
        | Statement::FilterBlock(_, body)
        | Statement::SetBlock(_, _, body)
        | Statement::With(_, body) => sets_namespace(&body.nodes),
        Statement::Data(_)
        | Statement::Print(_)
        | Statement::Set(..)
        | Statement::Break
        | Statement::Continue => false,
    })
}

/// A string made of neighbouring literals.
fn joined(parts: &[Text]) -> Text {
    match parts {
        [one] => one.clone(),
        parts => parts.iter().flat_map(|part| part.chars()).copied().collect::<Vec<_>>().into(),
    }
}
