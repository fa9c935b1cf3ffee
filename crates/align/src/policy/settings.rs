//! Numbers of the methods.

use serde::{Deserialize, Serialize};
use train::TrainError;

use super::{KlTarget, RolloutSettings};

/// How advantages are estimated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// Proximal policy optimisation with a value head (Schulman et al. 2017, <https://arxiv.org/abs/1707.06347>; Ouyang et al. 2022,
    /// <https://arxiv.org/abs/2203.02155>).
    Ppo {
        /// Discount of later rewards.
        gamma: f64,
        /// Between one step ahead, 0, and all that came after, 1.
        lambda: f64,
        /// How far a value may move from what it was.
        clip_value: f64,
        /// Of the value loss beside the policy's.
        value_weight: f64,
        /// Whether advantages get mean 0 and standard deviation 1.
        whiten: bool,
    },
    /// Answers to one prompt compared with each other (Shao et al. 2024, <https://arxiv.org/abs/2402.03300>); no value head.
    Grpo {
        /// Answers to each prompt.
        group: usize,
        /// Whether advantages are divided by the standard deviation of their group; the optimum is another then.
        normalise: bool,
    },
}

impl Method {
    /// PPO as in the papers.
    pub fn ppo() -> Self {
        Self::Ppo { gamma: 1.0, lambda: 0.95, clip_value: 0.2, value_weight: 0.1, whiten: true }
    }

    /// Answers to each prompt.
    pub(super) fn group(&self) -> usize {
        match self {
            Self::Ppo { .. } => 1,
            Self::Grpo { group, .. } => *group,
        }
    }
}

/// Most answers that are held in memory at a time.
const MAX_ROLLOUTS: usize = 1 << 20;
const MAX_EPOCHS: usize = 1000;
/// Most answers that are decoded at a time: each has keys and values of its own.
const MAX_PARALLEL: usize = 1024;

/// Numbers of learning from rewards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// How advantages are estimated.
    pub method: Method,
    /// How answers are drawn.
    pub rollout: RolloutSettings,
    /// Answers that one set of weights gives, before they are learned from.
    pub n_rollouts: usize,
    /// How often each is learned from.
    pub n_epochs: usize,
    /// How far a probability ratio may go from 1.
    pub clip: f64,
    /// Weight of the divergence from the reference, which is taken from the reward of each token.
    pub beta: f64,
    /// Where the weight is to follow a target.
    pub kl_target: Option<KlTarget>,
    /// The training ends where the divergence of fresh answers is above this, in nats a sequence.
    pub max_kl: Option<f64>,
    /// Taken from the reward of an answer that was cut at its longest length.
    pub cut_penalty: f64,
    /// Problems of the held-out side that are answered in a validation.
    pub n_held_out: usize,
}

impl PolicySettings {
    /// Optimizer steps for each set of rollouts.
    pub fn steps_per_iteration(&self, batch_rows: usize) -> usize {
        self.n_epochs * (self.n_rollouts / batch_rows.max(1))
    }

    /// Checks every range; `batch_rows` answers make an optimizer step.
    ///
    /// # Errors
    /// Names the first that is outside its own.
    pub fn validate(&self, batch_rows: usize) -> Result<(), TrainError> {
        let check = |name, is_valid: bool, expected, found: String| {
            if is_valid { Ok(()) } else { Err(TrainError::Setting { name, expected, found }) }
        };
        let is_positive = |x: f64| x > 0.0 && x.is_finite();
        let (n, group) = (self.n_rollouts, self.method.group());
        let of_groups = if group > 1 { format!(" in groups of {group}") } else { String::new() };
        check("rollouts", (1..=MAX_ROLLOUTS).contains(&n), "from 1 to 1,048,576", n.to_string())?;
        check(
            "rollouts",
            n.is_multiple_of(batch_rows) && n.is_multiple_of(group.max(1)),
            "a multiple of the batch, and of the group",
            format!("{n} with a batch of {batch_rows}{of_groups}"),
        )?;
        let epochs = (1..=MAX_EPOCHS).contains(&self.n_epochs);
        check("policy_epochs", epochs, "from 1 to 1,000", self.n_epochs.to_string())?;
        let n = self.n_held_out;
        check("n_held_out", (1..=MAX_ROLLOUTS).contains(&n), "from 1 to 1,048,576", n.to_string())?;
        let n = self.rollout.n_parallel;
        check("parallel", (1..=MAX_PARALLEL).contains(&n), "from 1 to 1,024", n.to_string())?;
        check("clip", self.clip > 0.0 && self.clip < 1.0, "between 0 and 1", self.clip.to_string())?;
        check("beta", self.beta >= 0.0 && self.beta.is_finite(), "0 or more", self.beta.to_string())?;
        check("cut_penalty", self.cut_penalty.is_finite(), "finite", self.cut_penalty.to_string())?;
        let temperature = self.rollout.sampling.temperature;
        check(
            "temperature",
            temperature > 0.0,
            "above 0: without chance there is nothing to compare",
            temperature.to_string(),
        )?;
        let most = self.rollout.max_new_tokens;
        check("max_tokens", most > 0, "at least 1", most.to_string())?;
        check("max_turns", self.rollout.max_turns > 0, "at least 1", self.rollout.max_turns.to_string())?;
        if let Some(KlTarget { kl, horizon }) = self.kl_target {
            check(
                "kl_target",
                is_positive(kl) && is_positive(horizon),
                "above 0",
                format!("{kl}, {horizon}"),
            )?;
        }
        if let Some(most) = self.max_kl {
            check("max_kl", is_positive(most), "above 0", most.to_string())?;
        }
        match self.method {
            Method::Ppo { gamma, lambda, clip_value, value_weight, .. } => {
                let is_share = |x: f64| (0.0..=1.0).contains(&x);
                check("gamma", is_share(gamma), "from 0 to 1", gamma.to_string())?;
                check("lambda", is_share(lambda), "from 0 to 1", lambda.to_string())?;
                check("clip_value", is_positive(clip_value), "above 0", clip_value.to_string())?;
                check("value_weight", is_positive(value_weight), "above 0", value_weight.to_string())
            }
            Method::Grpo { group, .. } => check("group", group > 1, "at least 2", group.to_string()),
        }
    }
}
