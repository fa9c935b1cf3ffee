//! What a policy does in an environment: token by token, with the probability that each was drawn with.

use std::collections::BTreeMap;

use base::Rng;
use model::{Engine, EngineSettings, Event, Gpt, Request, Sampling, SequenceId, Token};
use serde::{Deserialize, Serialize};
use tensor::Kernels;

use crate::{
    Dropped,
    environment::{EnvironmentError, MAX_REWARD, Side, TokenDialogue, TokenEnvironment},
};

/// How rollouts are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutSettings {
    /// How each token is drawn.
    pub sampling: Sampling,
    /// Most tokens of one answer.
    pub max_new_tokens: usize,
    /// Most answers in one dialogue.
    pub max_turns: usize,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
    /// Sequences that are decoded at a time.
    pub n_parallel: usize,
}

impl RolloutSettings {
    /// Whether some tokens may not be drawn: the set of those that may is kept with each token then.
    fn is_truncated(&self) -> bool {
        let Sampling { top_k, top_p, min_p, .. } = self.sampling;
        top_k > 0 || top_p < 1.0 || min_p > 0.0
    }
}

/// A token that the policy drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its place among the ids.
    pub at: usize,
    /// `ln p` under the distribution that it was drawn from, in nats.
    pub log_prob: f32,
    /// The tokens that might have been drawn, where not all might.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<u32>>,
}

/// One dialogue of the policy with the environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trajectory {
    /// Which problem.
    pub problem: u64,
    /// Prompt, answers, and what the environment said between them.
    pub ids: Vec<u32>,
    /// What the policy drew, in order. Everything else is context.
    pub actions: Vec<Action>,
    /// What the environment gave, each after so many actions.
    pub rewards: Vec<(usize, f64)>,
    /// Whether the last answer ended with a token that ends answers.
    pub has_ended: bool,
}

impl Trajectory {
    /// What the environment gave altogether.
    pub fn reward(&self) -> f64 {
        self.rewards.iter().map(|(_, reward)| reward).sum()
    }

    /// The ids that the learner reads: the last action is a target alone.
    pub fn inputs(&self) -> &[u32] {
        let last = self.actions.last().map_or(self.ids.len(), |action| action.at);
        &self.ids[..last]
    }
}

/// A dialogue that goes on.
struct Running<'a> {
    dialogue: Box<dyn TokenDialogue + 'a>,
    trajectory: Trajectory,
    seed: Rng,
    n_turns: usize,
    /// Where the answer at hand begins.
    start: usize,
}

/// What came of problems.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// Those that can be learned from, in the order of the problems.
    pub trajectories: Vec<Trajectory>,
    /// Those that cannot: prompts that leave no room for an answer, and answers without a reward.
    pub left_out: Dropped,
}

/// Lets the policy answer problems, each with a seed of its own, in at most `max_seq_len` tokens with what is asked. What comes of one
/// depends on its problem, its seed and the policy alone, not on what is decoded beside it.
///
/// # Errors
/// If the environment cannot go on, or nothing is left to learn from.
pub fn collect(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    environment: &dyn TokenEnvironment,
    side: Side,
    problems: &[(u64, u64)],
    settings: &RolloutSettings,
    max_seq_len: usize,
) -> Result<Collected, EnvironmentError> {
    let max_seq_len = max_seq_len.min(gpt.config().max_seq_len);
    let mut engine =
        Engine::new(gpt, kernels, EngineSettings::for_sequences(settings.n_parallel.max(1), max_seq_len));
    let mut running: BTreeMap<SequenceId, (usize, Running)> = BTreeMap::new();
    let mut done: Vec<Option<(Trajectory, Vec<u32>)>> = problems.iter().map(|_| None).collect();
    let mut left_out = Dropped::default();
    for (i, &(problem, seed)) in problems.iter().enumerate() {
        let dialogue = environment.begin(side, problem)?;
        let ids = dialogue.prompt();
        let n_tokens = ids.len();
        if n_tokens >= max_seq_len {
            left_out.add(too_long(max_seq_len));
            continue;
        }
        let trajectory =
            Trajectory { problem, ids, actions: Vec::new(), rewards: Vec::new(), has_ended: false };
        let mut next =
            Running { dialogue, trajectory, seed: Rng::named(seed, "rollout"), n_turns: 0, start: n_tokens };
        let id = engine.submit(next.request(settings, max_seq_len))?;
        running.insert(id, (i, next));
    }
    while !running.is_empty() {
        for event in engine.step() {
            match event {
                Event::Prompt { .. } => {}
                Event::Token { sequence, token } => {
                    if let Some((_, running)) = running.get_mut(&sequence) {
                        running.push(token);
                    }
                }
                Event::Finished { sequence, stop_token, .. } => {
                    let Some((i, mut of)) = running.remove(&sequence) else { continue };
                    let is_whole = stop_token.is_some();
                    let answer = of.trajectory.ids[of.start..].to_vec();
                    if let Some(token) = stop_token {
                        of.push(token);
                    }
                    let (reward, between) = of.dialogue.answer(&answer, is_whole)?;
                    let reward = checked(of.trajectory.problem, reward)?;
                    of.n_turns += 1;
                    of.trajectory.rewards.push((of.trajectory.actions.len(), reward));
                    of.trajectory.has_ended = is_whole;
                    let room = max_seq_len.saturating_sub(of.trajectory.ids.len() + 1);
                    match between {
                        // Where an answer was cut, there is no end of it to go on from.
                        Some(ids) if is_whole && ids.len() < room && of.n_turns < settings.max_turns => {
                            of.trajectory.ids.extend(ids);
                            of.start = of.trajectory.ids.len();
                            let id = engine.submit(of.request(settings, max_seq_len))?;
                            running.insert(id, (i, of));
                        }
                        _ => done[i] = Some((of.trajectory, answer)),
                    }
                }
            }
        }
    }
    let done: Vec<(Trajectory, Vec<u32>)> = done.into_iter().flatten().collect();
    let answered: Vec<(u64, &[u32])> =
        done.iter().map(|(trajectory, answer)| (trajectory.problem, &answer[..])).collect();
    let rewards = environment.rewards(side, &answered);
    let mut rewards = rewards.map(Vec::into_iter);
    let mut trajectories = Vec::with_capacity(done.len());
    for (mut trajectory, _) in done {
        match rewards.as_mut().and_then(Iterator::next) {
            None => trajectories.push(trajectory),
            Some(Err(reason)) => left_out.add(format!("without a reward: {reason}")),
            Some(Ok(reward)) => {
                let after = trajectory.actions.len();
                let reward = checked(trajectory.problem, reward)?;
                match trajectory.rewards.last_mut() {
                    Some((_, last)) => *last += reward,
                    None => trajectory.rewards.push((after, reward)),
                }
                trajectories.push(trajectory);
            }
        }
    }
    if trajectories.is_empty() && !problems.is_empty() {
        let (n_problems, left_out) = (problems.len(), left_out.to_string());
        return Err(EnvironmentError::AllLeftOut { n_problems, left_out });
    }
    Ok(Collected { trajectories, left_out })
}

/// Why a prompt leaves no room for an answer to a model that reads so many tokens.
pub fn too_long(max_seq_len: usize) -> String {
    format!("longer than {} tokens, which leaves no room for an answer", max_seq_len.saturating_sub(1))
}

/// A reward that can be learned from.
pub(super) fn checked(problem: u64, reward: f64) -> Result<f64, EnvironmentError> {
    match reward.abs() <= MAX_REWARD {
        true => Ok(reward),
        false => Err(EnvironmentError::Reward { problem, reward, most: MAX_REWARD }),
    }
}

impl Running<'_> {
    fn request(&mut self, settings: &RolloutSettings, max_seq_len: usize) -> Request {
        let prompt = self.trajectory.ids.clone();
        // A scorer reads the last token too.
        let room = max_seq_len - prompt.len();
        Request {
            sampling: settings.sampling.clone(),
            seed: self.seed.next_u64(),
            stop: settings.stop.clone(),
            lists_kept: settings.is_truncated(),
            ..Request::new(prompt, settings.max_new_tokens.min(room))
        }
    }

    fn push(&mut self, token: Token) {
        let at = self.trajectory.ids.len();
        self.trajectory.ids.push(token.id);
        self.trajectory.actions.push(Action { at, log_prob: token.processed_logprob, kept: token.kept });
    }
}
