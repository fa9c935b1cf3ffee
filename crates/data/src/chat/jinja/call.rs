//! Arguments of a call.

use super::{
    ast::Name,
    failure::{Result, fail},
    text::Text,
    value::Value,
};

/// What a call was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Called {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(Name, Value)>,
}

impl Called {
    /// The arguments in the order of `names`, of which the first `required` must be there. An empty name takes no
    /// keyword.
    pub(crate) fn bind<const N: usize>(
        self,
        what: &str,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        let given = self.positional.len();
        if given > N {
            return fail(format!("{what} takes at most {N} arguments ({given} given)"));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| !known.is_empty() && **known == *name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return fail(format!("{what} got multiple values for argument '{name}'")),
                None => return fail(format!("{what} got an unexpected keyword argument '{name}'")),
            }
        }
        if bound.iter().take(required).any(Option::is_none) {
            return fail(format!("{what} expects at least {required} arguments"));
        }
        Ok(bound)
    }

    /// Nothing was given.
    pub(crate) fn none(self, what: &str) -> Result<()> {
        self.bind::<0>(what, [], 0).map(|_| ())
    }
}

/// A string among the arguments.
pub(crate) fn string(value: Option<Value>, what: &str) -> Result<Text> {
    match value {
        Some(Value::Text(text)) => Ok(text),
        other => {
            let found = other.as_ref().map_or("nothing", Value::type_name);
            fail(format!("{what}: expected str, found {found}"))
        }
    }
}

/// An integer among the arguments.
pub(crate) fn integer(value: Option<Value>, default: i128, what: &str) -> Result<i128> {
    match value {
        None => Ok(default),
        Some(value) => match value.integer() {
            Some(n) => Ok(n),
            None => {
                fail(format!("{what}: '{}' object cannot be interpreted as an integer", value.type_name()))
            }
        },
    }
}
