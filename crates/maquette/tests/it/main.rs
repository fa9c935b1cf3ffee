//! The binary from outside: recipes in, run folders out; and the rules that the whole repository keeps.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod alignment;
mod alignment_kills;
mod bad_input;
mod bench;
mod benchmarks;
#[cfg(unix)]
mod chat_templates;
mod clips;
mod corpus_inputs;
#[cfg(unix)]
mod crash;
mod end_to_end;
#[cfg(unix)]
mod endpoints;
mod escapes;
#[cfg(unix)]
mod eval_kills;
mod explain;
#[cfg(all(unix, debug_assertions))]
mod faults;
mod feedback;
mod first_steps;
mod forecast;
#[cfg(target_os = "linux")]
mod full_disk;
mod graders;
#[cfg(unix)]
mod hostile_targets;
mod lost_files;
mod more_benchmarks;
mod moved_run;
mod open_vocabulary;
mod picture_chats;
mod picture_ladder;
mod picture_sets;
mod pictures;
#[cfg(target_os = "linux")]
mod policy;
mod programs;
mod progress_width;
mod prompt_files;
mod real_models;
mod recipes;
mod reward_model;
mod run_folder_as_checkpoint;
mod rungs;
mod safety_reading;
mod scattered_folders;
mod scene;
mod scores;
mod sealing;
mod seals;
#[cfg(unix)]
mod serving;
#[cfg(unix)]
mod signals;
mod stop_texts;
#[cfg(target_os = "linux")]
mod stopped_evaluations;
mod tables;
mod tidy;
#[cfg(unix)]
mod tuning;
#[cfg(target_os = "linux")]
mod tuning_inputs;
mod user_files;
mod written_answers;
