//! Benchmarks: what a task is, its data, and the items that are made of them.

mod data_folder;
mod definition;
mod field;
mod fill;
mod item;
mod shots;

pub use data_folder::{DataFolder, Found, Presence};
pub use definition::{Kind, Metric, Task};
pub use item::{Item, Items};
