//! Arithmetic of Python.

use super::{
    ast::Operator,
    failure::{Result, fail, unsupported},
    meter::Meter,
    number::MAX_INT,
    printf,
    text::Builder,
    value::{List, Value},
};

/// Integers beyond this lose digits as floats.
const EXACT: i128 = 1 << 53;

/// `a operator b`
pub(crate) fn binary(operator: Operator, a: &Value, b: &Value, meter: &Meter) -> Result<Value> {
    if let Value::Undefined(message) = a {
        return fail(&**message);
    }
    if let (Operator::Modulo, Value::Text(format)) = (operator, a) {
        return printf::format(format, b, meter).map(Value::Text);
    }
    if let Value::Undefined(message) = b {
        return fail(&**message);
    }
    if matches!(a, Value::Markup(_)) || matches!(b, Value::Markup(_)) {
        return unsupported("the template computes with text that was marked as safe HTML");
    }
    match (operator, a, b) {
        (Operator::Add, Value::Text(x), Value::Text(y)) => {
            let mut sum = Builder::new(meter);
            sum.extend(x.chars())?;
            sum.extend(y.chars())?;
            return Ok(Value::Text(sum.finish()));
        }
        (Operator::Add, Value::List(x), Value::List(y)) => {
            return Value::list(chained(x, y, meter)?, meter);
        }
        (Operator::Add, Value::Tuple(x), Value::Tuple(y)) => {
            return Value::tuple(chained(x, y, meter)?, meter);
        }
        (Operator::Multiply, sequence @ (Value::Text(_) | Value::List(_) | Value::Tuple(_)), n)
        | (Operator::Multiply, n, sequence @ (Value::Text(_) | Value::List(_) | Value::Tuple(_)))
            if n.integer().is_some() =>
        {
            return repeated(sequence, n.integer().unwrap_or_default(), meter);
        }
        _ => {}
    }
    if let (Some(x), Some(y)) = (a.integer(), b.integer()) {
        return integers(operator, x, y);
    }
    let float = |value: &Value| match value {
        Value::Float(x) => Some(*x),
        other => other.integer().map(|n| n as f64),
    };
    match (float(a), float(b)) {
        (Some(x), Some(y)) => floats(operator, x, y),
        _ => {
            let (sign, a, b) = (operator.sign(), a.type_name(), b.type_name());
            fail(format!("unsupported operand type(s) for {sign}: '{a}' and '{b}'"))
        }
    }
}

fn chained(a: &List, b: &List, meter: &Meter) -> Result<Vec<Value>> {
    meter.make_values(a.items.len() + b.items.len())?;
    Ok(a.items.iter().chain(&b.items).cloned().collect())
}

fn repeated(sequence: &Value, n: i128, meter: &Meter) -> Result<Value> {
    if i64::try_from(n).is_err() {
        return fail("cannot fit 'int' into an index-sized integer");
    }
    let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    let list = |list: &List| -> Result<Vec<Value>> {
        meter.make_values(list.items.len().saturating_mul(n))?;
        Ok(std::iter::repeat_n(&list.items, n).flatten().cloned().collect())
    };
    match sequence {
        Value::Text(text) => {
            meter.make(text.len().saturating_mul(n))?;
            Ok(Value::Text(text.chars().repeat(n).into()))
        }
        Value::List(items) if items.items.is_empty() => Ok(sequence.clone()),
        Value::Tuple(items) if items.items.is_empty() => Ok(sequence.clone()),
        Value::List(items) => Value::list(list(items)?, meter),
        Value::Tuple(items) => Value::tuple(list(items)?, meter),
        other => fail(format!("can't multiply a {}", other.type_name())),
    }
}

fn integers(operator: Operator, x: i128, y: i128) -> Result<Value> {
    let zero = || fail("division by zero");
    let result = match operator {
        Operator::Add => x.checked_add(y),
        Operator::Subtract => x.checked_sub(y),
        Operator::Multiply => x.checked_mul(y),
        Operator::Divide if y == 0 => return zero(),
        Operator::Divide if x.abs() <= EXACT && y.abs() <= EXACT => {
            return Ok(Value::Float(x as f64 / y as f64));
        }
        Operator::Divide => None,
        Operator::FloorDivide | Operator::Modulo if y == 0 => return zero(),
        Operator::FloorDivide => Some(x.div_euclid(y) - i128::from(y < 0 && x.rem_euclid(y) != 0)),
        Operator::Modulo => {
            let rest = x % y;
            Some(if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest })
        }
        Operator::Power if y < 0 && x == 0 => return fail("0.0 cannot be raised to a negative power"),
        Operator::Power if y < 0 => return Ok(Value::Float((x as f64).powf(y as f64))),
        Operator::Power => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
    };
    match result {
        Some(n) if n.unsigned_abs() <= MAX_INT => Ok(Value::Int(n)),
        _ => unsupported("the template uses an integer of more than 126 bits"),
    }
}

fn floats(operator: Operator, x: f64, y: f64) -> Result<Value> {
    Ok(Value::Float(match operator {
        Operator::Add => x + y,
        Operator::Subtract => x - y,
        Operator::Multiply => x * y,
        Operator::Divide | Operator::FloorDivide | Operator::Modulo if y == 0.0 => {
            return fail("float division by zero");
        }
        Operator::Divide => x / y,
        Operator::Modulo => modulo(x, y),
        Operator::FloorDivide => {
            let quotient = (x - modulo(x, y)) / y;
            let floor = quotient.floor();
            if quotient - floor > 0.5 { floor + 1.0 } else { floor }
        }
        Operator::Power if x == 0.0 && y < 0.0 => return fail("0.0 cannot be raised to a negative power"),
        Operator::Power if x < 0.0 && y.fract() != 0.0 && x.is_finite() && y.is_finite() => {
            return unsupported("the template uses a complex number");
        }
        Operator::Power => x.powf(y),
    }))
}

/// Python's float modulo: the sign of the divisor.
fn modulo(x: f64, y: f64) -> f64 {
    let rest = x % y;
    if rest == 0.0 {
        return 0.0_f64.copysign(y);
    }
    if (rest < 0.0) == (y < 0.0) { rest } else { rest + y }
}

/// `-value` or `+value`
pub(crate) fn signed(value: &Value, negative: bool) -> Result<Value> {
    match value {
        Value::Undefined(message) => fail(&**message),
        Value::Float(x) => Ok(Value::Float(if negative { -x } else { *x })),
        other => match other.integer() {
            Some(n) => Ok(Value::Int(if negative { -n } else { n })),
            None => fail(format!("bad operand type for unary sign: '{}'", other.type_name())),
        },
    }
}
