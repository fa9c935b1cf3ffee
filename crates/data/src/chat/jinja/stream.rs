//! What can be read item by item.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use super::{
    ast::For,
    failure::{Result, fail, unsupported},
    meter::Meter,
    value::{Frame, List, Loop, Source, Value, View, deeper},
};

impl Source {
    /// Python's `iter(value)`.
    pub(crate) fn of(value: &Value, meter: &Meter) -> Result<Self> {
        Ok(match value {
            Value::Undefined(_) => Self::Items(List::new(Vec::new(), meter)?, 0),
            Value::Text(text) => Self::Chars(text.clone(), 0),
            Value::List(list) | Value::Tuple(list) => Self::Items(list.clone(), 0),
            Value::Dict(dict) => Self::View(dict.clone(), View::Keys, 0),
            Value::View(dict, view) => Self::View(dict.clone(), *view, 0),
            Value::Range(range) => Self::Range(*range, 0),
            Value::Iterator(stream) => Self::Shared(stream.clone()),
            Value::Markup(_) | Value::Loop(_) => {
                return unsupported(format!("the template iterates over a {}", value.type_name()));
            }
            other => return fail(format!("'{}' object is not iterable", other.type_name())),
        })
    }

    pub(crate) fn next(&mut self, meter: &Meter) -> Result<Option<Value>> {
        meter.work(1)?;
        let (at, item) = match self {
            Self::Items(list, at) => {
                let item = list.items.get(*at).cloned();
                (at, item)
            }
            Self::Chars(text, at) => {
                let item = text.chars().get(*at).map(|c| Value::Text(vec![*c].into()));
                meter.make(8)?;
                (at, item)
            }
            Self::View(dict, view, at) => {
                let item = dict.at(*view, *at, meter)?;
                (at, item)
            }
            Self::Range(range, at) => {
                let item = range.at(*at);
                (at, item)
            }
            Self::Shared(stream) => return stream.source.borrow_mut().next(meter),
        };
        *at += 1;
        Ok(item)
    }
}

/// All items of a value, in order.
pub(crate) fn items(value: &Value, meter: &Meter) -> Result<Vec<Value>> {
    let mut source = Source::of(value, meter)?;
    let mut items = Vec::new();
    while let Some(item) = source.next(meter)? {
        meter.make_values(1)?;
        items.push(item);
    }
    Ok(items)
}

impl Loop {
    pub(crate) fn new(
        iterable: &Value,
        depth0: u32,
        recursion: Option<(Arc<For>, Rc<Frame>)>,
        meter: &Meter,
    ) -> Result<Self> {
        let length = match iterable {
            Value::Iterator(_) => None,
            sized => sized.len(meter).ok(),
        };
        Ok(Self {
            source: RefCell::new(Source::of(iterable, meter)?),
            length: Cell::new(length),
            index0: Cell::new(-1),
            after: RefCell::default(),
            current: RefCell::default(),
            before: RefCell::default(),
            changed: RefCell::default(),
            depth0,
            recursion,
            depth: deeper(iterable.depth() + 1)?,
        })
    }

    /// Goes on to the next item.
    pub(crate) fn advance(&self, meter: &Meter) -> Result<Option<Value>> {
        let waiting = self.after.borrow_mut().take();
        let next = match waiting {
            Some(item) => Some(item),
            None => self.source.borrow_mut().next(meter)?,
        };
        let Some(item) = next else { return Ok(None) };
        self.index0.set(self.index0.get() + 1);
        let current = self.current.borrow_mut().replace(item.clone());
        *self.before.borrow_mut() = current;
        Ok(Some(item))
    }

    pub(crate) fn peek(&self, meter: &Meter) -> Result<Option<Value>> {
        let mut after = self.after.borrow_mut();
        if after.is_none() {
            *after = self.source.borrow_mut().next(meter)?;
        }
        Ok(after.clone())
    }

    /// How many items there are; a generator is read to its end for it.
    pub(crate) fn length(&self, meter: &Meter) -> Result<usize> {
        if let Some(length) = self.length.get() {
            return Ok(length);
        }
        let mut rest = Vec::new();
        while let Some(item) = self.source.borrow_mut().next(meter)? {
            meter.make_values(1)?;
            rest.push(item);
        }
        let passed = usize::try_from(self.index0.get() + 1).unwrap_or(0);
        let length = rest.len() + passed + usize::from(self.after.borrow().is_some());
        *self.source.borrow_mut() = Source::Items(List::new(rest, meter)?, 0);
        self.length.set(Some(length));
        Ok(length)
    }
}
