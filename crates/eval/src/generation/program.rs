//! Programs that a model wrote, put together with their tests and run.

use data::Template;
use serde_json::{Map, Value};

use super::Generate;
use crate::{
    ExamError,
    exam::{ItemScore, Target},
    sandbox::Sandbox,
};

/// Runs the program in every output of an item and notes how it ended.
pub(crate) fn run(generate: &Generate, item: &mut ItemScore, sandbox: &Sandbox) -> Result<(), ExamError> {
    let Some(template) = &generate.program else { return Ok(()) };
    let mut fields = match &item.reference {
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    };
    if let Target::Text(target) = &item.target {
        fields.insert("target".to_owned(), target.clone().into());
    }
    for output in &mut item.outputs {
        let answer = generate.filters.first().map(|filter| filter.apply(&output.text, &Value::Null));
        fields.insert("answer".to_owned(), answer.unwrap_or_else(|| output.text.clone()).into());
        let program = program(template, &fields, item.doc_id)?;
        output.program = Some(sandbox.run(&program)?.outcome);
    }
    Ok(())
}

fn program(template: &Template, fields: &Map<String, Value>, doc_id: usize) -> Result<String, ExamError> {
    let row = [Value::Object(fields.clone()).to_string()];
    let texts = Template::render_rows(&[template], &row).map_err(|(_, error)| ExamError::Table {
        place: format!("item {doc_id}"),
        expected: "what the program of the task is made of".to_owned(),
        found: error.to_string().lines().next().unwrap_or_default().to_owned(),
        hint: "delete the file of items to write its answers again".to_owned(),
    })?;
    Ok(texts.into_iter().flatten().next().unwrap_or_default())
}
