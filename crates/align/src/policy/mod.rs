//! Learning from rewards: a policy answers, and what it was rewarded for gets more likely.
//!
//! [`collect`] lets the policy answer with its weights as they stand; [`PolicyGradient`] learns from that, as PPO or GRPO.

mod advantage;
mod divergence;
mod objective;
mod place;
mod replay;
mod rollout;
mod settings;
mod stored;
mod surrogate;

pub use advantage::{gae, group_advantages, whiten};
pub use divergence::{KlTarget, k1, k3};
pub use objective::{LeftOut, PolicyGradient, Rewarder};
pub use rollout::{Action, Collected, RolloutSettings, Trajectory, collect, too_long};
pub use settings::{Method, PolicySettings};

/// Name of the head that says what is still to be expected.
pub const VALUE: &str = "value_head.weight";
