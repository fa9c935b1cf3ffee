//! What expressions evaluate to: Python's values, as far as templates use them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use super::{
    ast::{For, Macro, Name},
    failure::{Failure, Kind, Result, fail},
    meter::{Meter, VALUE_BYTES},
    text::Text,
};

const _: () = assert!(size_of::<Value>() == VALUE_BYTES);

/// Lists within lists; so deep a value can still be printed, compared and dropped.
const MAX_DEPTH: u32 = 200;

/// A value. Cheap to clone: what is large is shared, and nothing but namespaces can be changed.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// With the error of those who use it.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text),
    /// Text that is marked as safe HTML.
    Markup(Text),
    List(Rc<List>),
    Tuple(Rc<List>),
    Dict(Rc<Dict>),
    View(Rc<Dict>, View),
    Range(Range),
    /// A generator: can be read once.
    Iterator(Rc<Stream>),
    Namespace(Rc<Namespace>),
    Macro(Rc<Closure>),
    Loop(Rc<Loop>),
    /// A method and its object.
    Method(Rc<(Self, &'static str)>),
    Function(Function),
    Cycler(Rc<Cycler>),
    Joiner(Rc<Joiner>),
}

/// The functions of every template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    RaiseException,
    StrftimeNow,
}

#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    pub(crate) depth: u32,
    /// A pair of `groupby`, which has names for its parts.
    pub(crate) is_group: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Dict {
    /// In the order of their insertion.
    pub(crate) entries: Vec<(Value, Value)>,
    pub(crate) depth: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Keys,
    Values,
    Items,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: i128,
    pub(crate) stop: i128,
    pub(crate) step: i128,
}

#[derive(Debug, Default)]
pub(crate) struct Namespace(pub(crate) RefCell<Vec<(Name, Value)>>);

/// A macro and the scope where it was defined.
#[derive(Debug)]
pub(crate) struct Closure {
    pub(crate) definition: Arc<Macro>,
    pub(crate) scope: Rc<Frame>,
}

/// Variables of a scope.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) variables: RefCell<Vec<(Name, Value)>>,
    pub(crate) outer: Option<Rc<Self>>,
}

/// A generator's rest.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) source: RefCell<Source>,
    pub(crate) depth: u32,
}

/// Where the next item comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Items(Rc<List>, usize),
    Chars(Text, usize),
    View(Rc<Dict>, View, usize),
    Range(Range, usize),
    /// A generator, which others may read too.
    Shared(Rc<Stream>),
}

/// `loop` within a loop.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) source: RefCell<Source>,
    pub(crate) length: Cell<Option<usize>>,
    /// Of the current item; -1 before the first.
    pub(crate) index0: Cell<i128>,
    /// The next item, where somebody has looked at it.
    pub(crate) after: RefCell<Option<Value>>,
    pub(crate) current: RefCell<Option<Value>>,
    pub(crate) before: RefCell<Option<Value>>,
    pub(crate) changed: RefCell<Option<Value>>,
    pub(crate) depth0: u32,
    pub(crate) recursion: Option<(Arc<For>, Rc<Frame>)>,
    pub(crate) depth: u32,
}

#[derive(Debug)]
pub(crate) struct Cycler {
    pub(crate) items: Rc<List>,
    pub(crate) at: Cell<usize>,
}

#[derive(Debug)]
pub(crate) struct Joiner {
    pub(crate) separator: Text,
    pub(crate) used: Cell<bool>,
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(Text::new(text))
    }

    pub(crate) fn undefined(message: impl Into<String>) -> Self {
        Self::Undefined(message.into().into())
    }

    pub(crate) fn list(items: Vec<Self>, meter: &Meter) -> Result<Self> {
        Ok(Self::List(List::new(items, meter)?))
    }

    pub(crate) fn tuple(items: Vec<Self>, meter: &Meter) -> Result<Self> {
        Ok(Self::Tuple(List::new(items, meter)?))
    }

    /// A generator of these values.
    pub(crate) fn iterator(items: Vec<Self>, meter: &Meter) -> Result<Self> {
        let list = List::new(items, meter)?;
        let depth = deeper(list.depth)?;
        Ok(Self::Iterator(Rc::new(Stream { source: RefCell::new(Source::Items(list, 0)), depth })))
    }

    pub(crate) fn method(self, name: &'static str) -> Result<Self> {
        deeper(self.depth())?;
        Ok(Self::Method(Rc::new((self, name))))
    }

    pub(crate) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    pub(crate) fn depth(&self) -> u32 {
        match self {
            Self::List(list) | Self::Tuple(list) => list.depth,
            Self::Dict(dict) | Self::View(dict, _) => dict.depth,
            Self::Iterator(stream) => stream.depth,
            Self::Loop(inner) => inner.depth,
            Self::Cycler(cycler) => cycler.items.depth,
            Self::Method(method) => method.0.depth() + 1,
            _ => 0,
        }
    }

    /// The type's name in Python.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Markup(_) => "Markup",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::View(_, View::Keys) => "dict_keys",
            Self::View(_, View::Values) => "dict_values",
            Self::View(_, View::Items) => "dict_items",
            Self::Range(_) => "range",
            Self::Iterator(_) => "generator",
            Self::Namespace(_) => "Namespace",
            Self::Macro(_) => "Macro",
            Self::Loop(_) => "LoopContext",
            Self::Method(_) | Self::Function(_) => "function",
            Self::Cycler(_) => "Cycler",
            Self::Joiner(_) => "Joiner",
        }
    }

    /// Python's `bool(value)`.
    pub(crate) fn is_true(&self, meter: &Meter) -> Result<bool> {
        Ok(match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(yes) => *yes,
            Self::Int(n) => *n != 0,
            Self::Float(x) => *x != 0.0,
            Self::Text(_)
            | Self::Markup(_)
            | Self::List(_)
            | Self::Tuple(_)
            | Self::Dict(_)
            | Self::View(..)
            | Self::Range(_)
            | Self::Loop(_) => self.len(meter)? > 0,
            _ => true,
        })
    }

    /// Python's `len(value)`.
    pub(crate) fn len(&self, meter: &Meter) -> Result<usize> {
        Ok(match self {
            Self::Undefined(_) => 0,
            Self::Text(text) | Self::Markup(text) => text.len(),
            Self::List(list) | Self::Tuple(list) => list.items.len(),
            Self::Dict(dict) | Self::View(dict, _) => dict.entries.len(),
            Self::Range(range) => range.len(),
            Self::Loop(inner) => inner.length(meter)?,
            other => return fail(format!("object of type '{}' has no len()", other.type_name())),
        })
    }

    /// The integer that a boolean or an integer is.
    pub(crate) fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Bool(yes) => Some(i128::from(*yes)),
            _ => None,
        }
    }
}

impl List {
    pub(crate) fn new(items: Vec<Value>, meter: &Meter) -> Result<Rc<Self>> {
        meter.make_values(items.len() + 1)?;
        let depth = deeper(items.iter().map(Value::depth).max().unwrap_or(0))?;
        Ok(Rc::new(Self { items, depth, is_group: false }))
    }
}

/// One more level than `depth`.
pub(crate) fn deeper(depth: u32) -> Result<u32> {
    if depth >= MAX_DEPTH {
        return Err(Failure::new(Kind::Limit, format!("more than {MAX_DEPTH} values within one another")));
    }
    Ok(depth + 1)
}

impl Dict {
    pub(crate) fn get_name(&self, name: &str) -> Option<&Value> {
        let is_it = |key: &Value| matches!(key, Value::Text(text) if text.is(name));
        self.entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value)
    }

    /// What a view shows at a place.
    pub(crate) fn at(&self, view: View, at: usize, meter: &Meter) -> Result<Option<Value>> {
        let Some((key, value)) = self.entries.get(at) else { return Ok(None) };
        Ok(Some(match view {
            View::Keys => key.clone(),
            View::Values => value.clone(),
            View::Items => Value::tuple(vec![key.clone(), value.clone()], meter)?,
        }))
    }
}

/// Refuses what cannot be a key.
pub(crate) fn hashable(key: &Value) -> Result<()> {
    match key {
        Value::List(_) | Value::Dict(_) => fail(format!("unhashable type: '{}'", key.type_name())),
        Value::Tuple(items) => items.items.iter().try_for_each(hashable),
        _ => Ok(()),
    }
}

impl Range {
    pub(crate) fn len(&self) -> usize {
        let span = if self.step > 0 { self.stop - self.start } else { self.start - self.stop };
        let step = self.step.abs();
        if span <= 0 { 0 } else { usize::try_from((span + step - 1) / step).unwrap_or(usize::MAX) }
    }

    pub(crate) fn at(&self, at: usize) -> Option<Value> {
        (at < self.len()).then(|| Value::Int(self.start + self.step * at as i128))
    }
}

impl Frame {
    pub(crate) fn within(outer: &Rc<Self>) -> Rc<Self> {
        Rc::new(Self { variables: RefCell::default(), outer: Some(outer.clone()) })
    }

    pub(crate) fn set(&self, name: &Name, value: Value) {
        let mut variables = self.variables.borrow_mut();
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => variables.push((name.clone(), value)),
        }
    }

    pub(crate) fn get(&self, name: &str, meter: &Meter) -> Result<Option<Value>> {
        let mut frame = Some(self);
        while let Some(here) = frame {
            meter.work(here.variables.borrow().len())?;
            if let Some((_, value)) = here.variables.borrow().iter().find(|(known, _)| **known == *name) {
                return Ok(Some(value.clone()));
            }
            frame = here.outer.as_deref();
        }
        Ok(None)
    }
}
