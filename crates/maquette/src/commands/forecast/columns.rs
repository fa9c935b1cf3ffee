//! Which column of a table is which, and in which unit.

use anyhow::Context as _;
use forecast::{ColumnChoice, Table};

/// What to read a table by.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Columns of the table")]
pub(super) struct ColumnOptions {
    /// Column with the names of the runs
    #[arg(long, value_name = "NAME")]
    run_column: Option<String>,
    /// Column with the parameters
    #[arg(long, value_name = "NAME")]
    params_column: Option<String>,
    /// Column with the tokens trained on
    #[arg(long, value_name = "NAME")]
    tokens_column: Option<String>,
    /// Column with the training FLOPs; 6·N·D if there is none
    #[arg(long, value_name = "NAME")]
    flops_column: Option<String>,
    /// Column with the final loss; held-out loss is preferred to training loss
    #[arg(long, value_name = "NAME")]
    loss_column: Option<String>,
    /// Column with the seed
    #[arg(long, value_name = "NAME")]
    seed_column: Option<String>,
    /// Unit of the parameters column, such as 1e6, M or millions
    #[arg(long, value_name = "UNIT", allow_negative_numbers = true)]
    params_unit: Option<String>,
    /// Unit of the tokens column, such as 1e9, B or billions
    #[arg(long, value_name = "UNIT", allow_negative_numbers = true)]
    tokens_unit: Option<String>,
    /// Unit of the FLOPs column, such as 1e9, GFLOPs or PF-days
    #[arg(long, value_name = "UNIT", allow_negative_numbers = true)]
    flops_unit: Option<String>,
    /// Take the units as they are, even where the FLOPs are far from 6·N·D
    #[arg(long)]
    keep_units: bool,
}

impl ColumnOptions {
    /// The table in `bytes`, if its units can be right or are to be kept.
    pub(super) fn table(&self, bytes: &[u8]) -> anyhow::Result<Table> {
        let choice = ColumnChoice {
            run: self.run_column.clone(),
            params: self.params_column.clone(),
            tokens: self.tokens_column.clone(),
            flops: self.flops_column.clone(),
            loss: self.loss_column.clone(),
            seed: self.seed_column.clone(),
            params_unit: unit("--params-unit", &self.params_unit)?,
            tokens_unit: unit("--tokens-unit", &self.tokens_unit)?,
            flops_unit: unit("--flops-unit", &self.flops_unit)?,
        };
        let table = Table::read(bytes, &choice)?;
        if self.keep_units {
            return Ok(table.with_units_kept());
        }
        if let Err(error) = table.check_units() {
            // Which columns were taken belongs to what is wrong with them.
            super::warn(table.warnings());
            return Err(error.into());
        }
        Ok(table)
    }
}

fn unit(option: &str, given: &Option<String>) -> anyhow::Result<Option<f64>> {
    let Some(text) = given else { return Ok(None) };
    let unit = ColumnChoice::unit(text).with_context(|| {
        format!(
            "expected a number above 0 or the name of a unit for `{option}`, found `{text}`\n\
             hint: give what 1 in the column stands for: 1e9, B, billions, GFLOPs or PF-days"
        )
    })?;
    Ok(Some(unit))
}
