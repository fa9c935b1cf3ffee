//! Models that other programs serve: one that is examined, one that judges.

use std::{path::Path, time::Duration};

use eval::{
    Judge,
    endpoint::{Endpoint, EndpointOptions, EndpointSettings},
};

use crate::output;

/// How endpoints are reached.
#[derive(Debug, clap::Args)]
pub(super) struct EndpointArgs {
    /// Name of the model at an endpoint that is evaluated; the first that it lists if not given
    #[arg(long, value_name = "NAME")]
    endpoint_model: Option<String>,
    /// Environment variable with the key of the endpoint that is evaluated
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    key_variable: String,
    /// Endpoint of a model that judges answers: refusals, and answers with a rubric. Verdicts are kept with the items
    #[arg(long, value_name = "URL")]
    judge: Option<String>,
    /// Name of the model that judges; the first that its endpoint lists if not given
    #[arg(long, value_name = "NAME", requires = "judge")]
    judge_model: Option<String>,
    /// Environment variable with the key of the judge's endpoint
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    judge_key_variable: String,
    /// Seconds that an endpoint may take for one answer
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// Whether a checkpoint is the address of an endpoint.
pub(super) fn is_address(checkpoint: &Path) -> bool {
    let text = checkpoint.to_string_lossy();
    text.starts_with("http://") || text.starts_with("https://")
}

impl EndpointArgs {
    /// The endpoint that is evaluated, where `checkpoint` is an address.
    pub(super) fn examined(&self, checkpoint: &Path) -> anyhow::Result<Option<Endpoint>> {
        if !is_address(checkpoint) {
            return Ok(None);
        }
        let url = checkpoint.to_string_lossy().into_owned();
        let options = EndpointOptions::EXAMINED;
        let settings = self.settings(url, &self.endpoint_model, &self.key_variable, options);
        let endpoint = Endpoint::new(&settings)?;
        output::talk(format_args!("evaluating `{}` at {}", endpoint.model(), endpoint.url()));
        Ok(Some(endpoint))
    }

    /// The judge, if one is asked for.
    pub(super) fn judge(&self, n_parallel: usize) -> anyhow::Result<Option<Judge>> {
        let Some(url) = &self.judge else { return Ok(None) };
        let options = EndpointOptions::JUDGE;
        let settings = self.settings(url.clone(), &self.judge_model, &self.judge_key_variable, options);
        Ok(Some(Judge::new(&settings, n_parallel)?))
    }

    fn settings(
        &self,
        url: String,
        model: &Option<String>,
        variable: &str,
        options: EndpointOptions,
    ) -> EndpointSettings {
        let key = std::env::var(variable).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        EndpointSettings {
            url,
            model: model.clone(),
            key,
            timeout: Duration::from_secs(self.timeout),
            options,
        }
    }
}
