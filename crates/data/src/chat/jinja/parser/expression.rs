//! Expressions.

use super::{
    super::{
        ast::{Arguments, Comparison, Expr, Filter, Operator},
        failure::{Result, fail},
        filter, test,
    },
    Parser, joined,
};
use crate::chat::jinja::lexer::Token;

use super::MAX_NAMES;

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nest()?;
        let expr = self.conditional();
        self.nesting -= 1;
        expr
    }

    /// One expression, or several with commas between them.
    pub(super) fn tuple(&mut self, conditional: bool, ends: &[&str], parentheses: bool) -> Result<Expr> {
        let mut items = Vec::new();
        let (mut is_tuple, mut height) = (false, 0);
        loop {
            if !items.is_empty() {
                self.expect_sign(",")?;
            }
            if self.is_tuple_end(ends) {
                break;
            }
            let item = if conditional { self.expression() } else { self.nest().and_then(|()| self.or()) }?;
            if !conditional {
                self.nesting -= 1;
            }
            items.push(item);
            height = height.max(self.height);
            if !self.is_sign(",") {
                break;
            }
            is_tuple = true;
        }
        if !is_tuple {
            if let Some(only) = items.pop() {
                return Ok(only);
            }
            if !parentheses {
                return self.wrong("an expression");
            }
        }
        self.grow(height)?;
        Ok(Expr::Tuple(items))
    }

    fn conditional(&mut self) -> Result<Expr> {
        let mut value = self.or()?;
        let mut height = self.height;
        while self.skip_name("if") {
            self.soft += 1;
            let test = self.or()?;
            height = height.max(self.height);
            let otherwise = if self.skip_name("else") { Some(self.expression()?) } else { None };
            self.soft -= 1;
            height = height.max(self.height);
            self.grow(height)?;
            height = self.height;
            value = Expr::If(Box::new((test, value, otherwise)));
        }
        Ok(value)
    }

    pub(super) fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        let mut height = self.height;
        while self.skip_name("or") {
            let right = self.and()?;
            self.grow(height.max(self.height))?;
            height = self.height;
            left = Expr::Or(Box::new((left, right)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        let mut height = self.height;
        while self.skip_name("and") {
            let right = self.not()?;
            self.grow(height.max(self.height))?;
            height = self.height;
            left = Expr::And(Box::new((left, right)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        if !self.skip_name("not") {
            return self.comparison();
        }
        self.nest()?;
        let inner = self.not()?;
        self.nesting -= 1;
        self.grow(self.height)?;
        Ok(Expr::Not(Box::new(inner)))
    }

    fn comparison(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut height = self.height;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.peek() {
                Token::Sign("==") => Comparison::Equal,
                Token::Sign("!=") => Comparison::NotEqual,
                Token::Sign("<") => Comparison::Less,
                Token::Sign("<=") => Comparison::LessEqual,
                Token::Sign(">") => Comparison::Greater,
                Token::Sign(">=") => Comparison::GreaterEqual,
                Token::Name(name) if **name == *"in" => Comparison::In,
                Token::Name(name)
                    if **name == *"not" && matches!(self.peek_second(), Token::Name(n) if **n == *"in") =>
                {
                    self.next();
                    Comparison::NotIn
                }
                _ => break,
            };
            self.next();
            rest.push((comparison, self.sum()?));
            height = height.max(self.height);
        }
        if rest.is_empty() {
            return Ok(first);
        }
        self.grow(height)?;
        Ok(Expr::Compare(Box::new(first), rest))
    }

    /// A chain of operators of one rank, from left to right.
    fn chain(&mut self, operators: &[Operator], operand: fn(&mut Self) -> Result<Expr>) -> Result<Expr> {
        let mut left = operand(self)?;
        let mut height = self.height;
        while let Some(operator) = operators.iter().copied().find(|o| self.is_sign(o.sign())) {
            self.next();
            let right = operand(self)?;
            self.grow(height.max(self.height))?;
            height = self.height;
            left = Expr::Binary(operator, Box::new((left, right)));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr> {
        self.chain(&[Operator::Add, Operator::Subtract], Self::concat)
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        let mut height = self.height;
        let mut parts = vec![first];
        while self.skip_sign("~") {
            parts.push(self.product()?);
            height = height.max(self.height);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => {
                self.grow(height)?;
                Ok(Expr::Concat(parts))
            }
        }
    }

    fn product(&mut self) -> Result<Expr> {
        use Operator::{Divide, FloorDivide, Modulo, Multiply};
        self.chain(&[Multiply, Divide, FloorDivide, Modulo], Self::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.chain(&[Operator::Power], |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filters: bool) -> Result<Expr> {
        let sign = ["-", "+"].into_iter().find(|sign| self.is_sign(sign));
        let mut expr = match sign {
            Some(sign) => {
                self.next();
                self.nest()?;
                let inner = Box::new(self.unary(false)?);
                self.nesting -= 1;
                self.grow(self.height)?;
                if sign == "-" { Expr::Negative(inner) } else { Expr::Positive(inner) }
            }
            None => self.primary()?,
        };
        expr = self.postfix(expr)?;
        if with_filters {
            expr = self.filtered(expr)?;
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr> {
        self.height = 1;
        let token = self.next();
        Ok(match token {
            Token::Name(name) => match &*name {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                _ => Expr::Name(name),
            },
            Token::Text(text) => {
                let mut parts = vec![text];
                while let Token::Text(more) = self.peek().clone() {
                    self.next();
                    parts.push(more);
                }
                Expr::Text(joined(&parts))
            }
            Token::Int(n) => Expr::Int(n),
            Token::Float(x) => Expr::Float(x),
            Token::Sign("(") => {
                let inner = self.tuple(true, &[], true)?;
                self.expect_sign(")")?;
                inner
            }
            Token::Sign("[") => {
                let (mut items, mut height) = (Vec::new(), 0);
                while !self.is_sign("]") {
                    if !items.is_empty() {
                        self.expect_sign(",")?;
                    }
                    if self.is_sign("]") {
                        break;
                    }
                    items.push(self.expression()?);
                    height = height.max(self.height);
                }
                self.expect_sign("]")?;
                self.grow(height)?;
                Expr::List(items)
            }
            Token::Sign("{") => {
                let (mut items, mut height) = (Vec::new(), 0);
                while !self.is_sign("}") {
                    if !items.is_empty() {
                        self.expect_sign(",")?;
                    }
                    if self.is_sign("}") {
                        break;
                    }
                    let key = self.expression()?;
                    height = height.max(self.height);
                    self.expect_sign(":")?;
                    items.push((key, self.expression()?));
                    height = height.max(self.height);
                }
                self.expect_sign("}")?;
                self.grow(height)?;
                Expr::Dict(items)
            }
            other => return fail(format!("expected an expression, found {}", other.describe())),
        })
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr> {
        loop {
            expr = match self.peek() {
                Token::Sign("." | "[") => self.subscript(expr)?,
                Token::Sign("(") => self.call(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn filtered(&mut self, mut expr: Expr) -> Result<Expr> {
        loop {
            let height = self.height;
            expr = match self.peek() {
                Token::Sign("|") => {
                    self.next();
                    let filter = self.filter()?;
                    self.grow(height.max(self.height))?;
                    Expr::Filter(Box::new(expr), Box::new(filter))
                }
                Token::Name(name) if **name == *"is" => self.test(expr)?,
                Token::Sign("(") => self.call(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn subscript(&mut self, expr: Expr) -> Result<Expr> {
        let mut height = self.height;
        if self.skip_sign(".") {
            let expr = match self.next() {
                Token::Name(name) => Expr::Attribute(Box::new(expr), name),
                Token::Int(n) => Expr::Item(Box::new((expr, Expr::Int(n)))),
                other => {
                    return fail(format!(
                        "expected a name or a number behind `.`, found {}",
                        other.describe()
                    ));
                }
            };
            self.grow(height)?;
            return Ok(expr);
        }
        self.expect_sign("[")?;
        let mut items = Vec::new();
        while !self.is_sign("]") {
            if !items.is_empty() {
                self.expect_sign(",")?;
            }
            let start = if self.is_sign(":") { None } else { Some(self.expression()?) };
            height = height.max(if start.is_some() { self.height } else { 0 });
            if !self.skip_sign(":") {
                items.extend(start);
                continue;
            }
            let mut bounds = [start, None, None];
            for (i, bound) in bounds.iter_mut().enumerate().skip(1) {
                if i == 2 && !self.skip_sign(":") {
                    break;
                }
                if ![":", "]", ","].iter().any(|sign| self.is_sign(sign)) {
                    *bound = Some(self.expression()?);
                    height = height.max(self.height);
                }
            }
            if !items.is_empty() || self.is_sign(",") {
                return fail("a slice among several subscripts");
            }
            self.expect_sign("]")?;
            self.grow(height)?;
            return Ok(Expr::Slice(Box::new((expr, bounds))));
        }
        self.expect_sign("]")?;
        self.grow(height)?;
        let key = if items.len() == 1 { items.remove(0) } else { Expr::Tuple(items) };
        Ok(Expr::Item(Box::new((expr, key))))
    }

    fn call(&mut self, expr: Expr) -> Result<Expr> {
        let height = self.height;
        let arguments = self.arguments()?;
        self.grow(height.max(self.height))?;
        Ok(Expr::Call(Box::new((expr, arguments))))
    }

    fn arguments(&mut self) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let (mut height, mut first) = (0, true);
        let wrong = || fail("arguments in the wrong order");
        self.expect_sign("(")?;
        while !self.is_sign(")") {
            if !std::mem::take(&mut first) {
                self.expect_sign(",")?;
                if self.is_sign(")") {
                    break;
                }
            }
            if self.skip_sign("*") {
                if arguments.more.is_some() || arguments.more_named.is_some() {
                    return wrong();
                }
                arguments.more = Some(self.expression()?);
            } else if self.skip_sign("**") {
                if arguments.more_named.is_some() {
                    return wrong();
                }
                arguments.more_named = Some(self.expression()?);
            } else if matches!(self.peek(), Token::Name(_)) && *self.peek_second() == Token::Sign("=") {
                if arguments.more_named.is_some() {
                    return wrong();
                }
                let name = self.expect_name()?;
                self.next();
                let value = self.expression()?;
                if arguments.named.iter().any(|(known, _)| *known == name) {
                    return fail(format!("the keyword argument `{name}` is repeated"));
                }
                arguments.named.push((name, value));
            } else {
                if arguments.more.is_some() || arguments.more_named.is_some() || !arguments.named.is_empty() {
                    return wrong();
                }
                arguments.positional.push(self.expression()?);
            }
            height = height.max(self.height);
            if arguments.named.len() > MAX_NAMES {
                return fail(format!("more than {MAX_NAMES} keyword arguments"));
            }
        }
        self.expect_sign(")")?;
        self.height = height;
        Ok(arguments)
    }

    /// A filter's name and arguments; `|` is read.
    pub(super) fn filter(&mut self) -> Result<Filter> {
        let mut name = self.expect_name()?;
        while self.skip_sign(".") {
            name = format!("{name}.{}", self.expect_name()?).into();
        }
        filter::check(&name, self.soft > 0)?;
        self.height = 0;
        let arguments = if self.is_sign("(") { self.arguments()? } else { Arguments::default() };
        Ok(Filter { name, arguments })
    }

    fn test(&mut self, expr: Expr) -> Result<Expr> {
        let mut height = self.height;
        self.next();
        let negated = self.skip_name("not");
        let mut name = self.expect_name()?;
        while self.skip_sign(".") {
            name = format!("{name}.{}", self.expect_name()?).into();
        }
        test::check(&name, self.soft > 0)?;
        let has_operand = match self.peek() {
            Token::Name(name) if **name == *"is" => return fail("tests cannot be chained with `is`"),
            Token::Name(name) => !["else", "or", "and"].contains(&&**name),
            Token::Text(_) | Token::Int(_) | Token::Float(_) | Token::Sign("[" | "{") => true,
            _ => false,
        };
        let mut arguments = Arguments::default();
        if self.is_sign("(") {
            arguments = self.arguments()?;
            height = height.max(self.height);
        } else if has_operand {
            self.nest()?;
            let operand = self.primary()?;
            let operand = self.postfix(operand)?;
            self.nesting -= 1;
            height = height.max(self.height);
            arguments.positional.push(operand);
        }
        self.grow(height)?;
        let test = Expr::Test(Box::new(expr), Box::new(Filter { name, arguments }));
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }
}
