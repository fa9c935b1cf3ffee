//! A parsed template.

use std::sync::Arc;

use super::text::Text;

pub(crate) type Name = Arc<str>;

/// A statement and the line where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) statement: Statement,
}

#[derive(Debug)]
pub(crate) enum Statement {
    Data(Text),
    Print(Expr),
    For(Arc<For>),
    /// Conditions with their bodies in turn, then the rest.
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    Macro(Arc<Macro>),
    /// `{% call %}`: the call and the macro that it gets as `caller`.
    CallBlock(Box<Expr>, Arc<Macro>),
    /// `{% generation %}`, which marks what is trained on.
    Generation(Body),
    FilterBlock(Vec<Filter>, Body),
    Set(Target, Expr),
    SetBlock(Target, Vec<Filter>, Body),
    With(Vec<(Target, Expr)>, Body),
    Break,
    Continue,
}

/// Statements with a scope of their own.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) nodes: Vec<Node>,
    /// Names that are undefined until this scope sets them, whatever the conversation calls so.
    pub(crate) unset: Vec<Name>,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) iter: Expr,
    pub(crate) test: Option<Expr>,
    pub(crate) recursive: bool,
    pub(crate) body: Body,
    pub(crate) otherwise: Body,
    /// Whether the body could change a namespace that the test reads.
    pub(crate) sets_namespace: bool,
}

#[derive(Debug)]
pub(crate) struct Macro {
    pub(crate) name: Option<Name>,
    pub(crate) params: Vec<Name>,
    /// Of the last parameters.
    pub(crate) defaults: Vec<Expr>,
    pub(crate) body: Body,
    pub(crate) uses_caller: bool,
    pub(crate) uses_kwargs: bool,
    pub(crate) uses_varargs: bool,
}

/// What an assignment assigns to.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Name),
    /// `namespace.attribute`
    Attribute(Name, Name),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(crate) enum Expr {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text),
    Name(Name),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// Test, value, otherwise.
    If(Box<(Expr, Expr, Option<Expr>)>),
    Or(Box<(Expr, Expr)>),
    And(Box<(Expr, Expr)>),
    Not(Box<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    Binary(Operator, Box<(Expr, Expr)>),
    Concat(Vec<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Attribute(Box<Expr>, Name),
    Item(Box<(Expr, Expr)>),
    Slice(Box<(Expr, [Option<Expr>; 3])>),
    Call(Box<(Expr, Arguments)>),
    Filter(Box<Expr>, Box<Filter>),
    Test(Box<Expr>, Box<Filter>),
}

/// A filter or a test by name, with what it is given.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) name: Name,
    pub(crate) arguments: Arguments,
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Expr>,
    pub(crate) named: Vec<(Name, Expr)>,
    pub(crate) more: Option<Expr>,
    pub(crate) more_named: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

impl Operator {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Modulo => "%",
            Self::Power => "**",
        }
    }
}
