//! What is held out of the training text.

use data::ValidationConfig;

use super::{once::once, run::Run};
use crate::{
    progress::{Field, Progress},
    recipe::Recipe,
    stop::{self, interrupted},
};

impl Run {
    /// The recipe, with what is held out decided where it leaves that open.
    pub(super) fn recipe(&self) -> anyhow::Result<&Recipe> {
        once(&self.recipe, || self.with_validation(self.given.clone()))
    }

    fn with_validation(&self, mut recipe: Recipe) -> anyhow::Result<Recipe> {
        if recipe.data.validation != ValidationConfig::Auto {
            return Ok(recipe);
        }
        // A run that goes on keeps what it began with, without looking again.
        if let Some(earlier) = self.own_recipe() {
            let mut same = recipe.clone();
            same.data.validation = earlier.data.validation;
            if earlier.hashes.is_some_and(|hashes| hashes.recipe == same.fingerprint()) {
                return Ok(same);
            }
        }
        let mut bar = Progress::new("data");
        let settled = data::settle(&mut recipe.data, &mut |p| {
            let documents = Field::new(1, format!("{} documents counted", p.n_documents));
            bar.update(p.n_bytes_read, p.n_bytes_total, [documents]);
            stop::check()
        });
        let settled = settled.map_err(interrupted)?;
        let Some(n) = settled.map(|settled| settled.n_documents) else { return Ok(recipe) };
        let documents = if n == 1 { "1 document".to_owned() } else { format!("{n} documents") };
        match &recipe.data.validation {
            ValidationConfig::Tail { fraction } => bar.finish(&format!(
                "{documents}: the last {:.0} % of each is held out for validation (`data.validation` changes that)",
                100.0 * fraction
            )),
            ValidationConfig::Hash { fraction } if *fraction > ValidationConfig::HASH_FRACTION => {
                bar.finish(&format!(
                    "{documents}: {:.0} % of them are held out for validation (`data.validation` changes that)",
                    100.0 * fraction
                ));
            }
            _ => bar.clear(),
        }
        Ok(recipe)
    }
}
