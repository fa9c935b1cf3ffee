//! What grades answers for rule-based rewards: rules, a model in a file, or one behind an endpoint.

use std::{path::PathBuf, sync::Arc, time::Duration};

use align::rbrm::{EndpointGrader, Grader, GraderId, ModelGrader, Questions, Rules};
use data::ChatTemplate;
use eval::{
    Asker,
    endpoint::{EndpointOptions, EndpointSettings},
};
use model::checkpoint;
use tensor::{Cpu, Isa};
use train::Precision;

use crate::{open_model, pipeline::default_precision};

/// How a grader behind an endpoint is reached.
#[derive(Debug, clap::Args)]
pub(super) struct GraderArgs {
    /// Environment variable with the key of the grader's endpoint
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    grader_key_variable: String,
    /// Seconds that the grader's endpoint may take for one answer
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    grader_timeout: u64,
    /// Questions that the grader's endpoint is asked at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = super::requests_at_a_time::<usize>())]
    grader_parallel: usize,
}

/// What hints about an endpoint that grades name.
const OPTIONS: EndpointOptions = EndpointOptions {
    model: "--grader-model",
    key: "--grader-key-variable",
    timeout: "--grader-timeout",
    parallel: "--grader-parallel",
};

/// What is to grade, as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Rules,
    Model(PathBuf),
    Endpoint(String),
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rules" => Ok(Self::Rules),
            _ if text.starts_with("http://") || text.starts_with("https://") => Ok(Self::Endpoint(text.into())),
            _ => match text.strip_prefix("model:").filter(|dir| !dir.is_empty()) {
                Some(dir) => Ok(Self::Model(dir.into())),
                None => Err("expected `rules`, `model:DIR`, or the address of an endpoint such as http://127.0.0.1:8080/v1".into()),
            },
        }
    }
}

impl GraderArgs {
    /// The grader that is named; `endpoint_model` is its name at an endpoint, the first that is listed if there is none.
    pub(super) fn open(
        &self,
        named: &Named,
        endpoint_model: Option<&str>,
        questions: &Questions,
        kernels: &Arc<Cpu>,
    ) -> anyhow::Result<Box<dyn Grader>> {
        match named {
            Named::Rules => Ok(Box::new(Rules)),
            Named::Model(dir) => model(dir, default_precision(Isa::current()), questions, kernels),
            Named::Endpoint(url) => self.endpoint(url, endpoint_model, questions),
        }
    }

    /// The grader that a file of weights was made with.
    ///
    /// # Errors
    /// If it is not there, or its weights are others now.
    pub(super) fn reopen(
        &self,
        id: &GraderId,
        questions: Option<&Questions>,
        kernels: &Arc<Cpu>,
    ) -> anyhow::Result<Box<dyn Grader>> {
        let none = Questions::new(None, Default::default());
        let questions = questions.unwrap_or(&none);
        match id {
            GraderId::Rules => Ok(Box::new(Rules)),
            GraderId::Endpoint { url, model } => self.endpoint(url, Some(model), questions),
            GraderId::Model { path, precision, .. } => {
                let precision = serde_json::from_value(serde_json::json!(precision))?;
                model(path.as_ref(), precision, questions, kernels)
            }
        }
    }

    fn endpoint(
        &self,
        url: &str,
        model: Option<&str>,
        questions: &Questions,
    ) -> anyhow::Result<Box<dyn Grader>> {
        let key = std::env::var(&self.grader_key_variable).ok();
        let settings = EndpointSettings {
            url: url.to_owned(),
            model: model.map(str::to_owned),
            key: key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()),
            timeout: Duration::from_secs(self.grader_timeout),
            options: OPTIONS,
        };
        let asker = Asker::new(&settings, self.grader_parallel)?;
        Ok(Box::new(EndpointGrader::new(asker, questions.clone())))
    }
}

/// A model in a file.
fn model(
    path: &std::path::Path,
    precision: Precision,
    questions: &Questions,
    kernels: &Arc<Cpu>,
) -> anyhow::Result<Box<dyn Grader>> {
    let opened = open_model::open(path, &**kernels, precision.into())?;
    let template = ChatTemplate::load(&opened.dir, &opened.tokenizer)?;
    let id = GraderId::Model {
        path: opened.dir.display().to_string(),
        weights: checkpoint::sha256_of(&opened.dir.join("model.safetensors"))?,
        precision: serde_json::to_value(precision)?.as_str().unwrap_or_default().to_owned(),
    };
    let kernels = Arc::clone(kernels) as Arc<dyn tensor::Kernels>;
    Ok(Box::new(ModelGrader::new(opened.gpt, opened.tokenizer, template, kernels, questions.clone(), id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grader_is_named() {
        assert_eq!("rules".parse(), Ok(Named::Rules));
        assert_eq!("model:a/b".parse(), Ok(Named::Model("a/b".into())));
        assert_eq!("http://h/v1".parse(), Ok(Named::Endpoint("http://h/v1".into())));
        for wrong in ["", "model:", "rule", "ftp://h", "a/b"] {
            assert!(wrong.parse::<Named>().unwrap_err().contains("model:DIR"), "{wrong}");
        }
    }
}
