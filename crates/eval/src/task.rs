//! Benchmarks: what a task is, its data, and the items that are made of them.

mod chat_format;
mod data_folder;
mod definition;
mod field;
mod fill;
mod item;
mod made;
mod metric;
mod quiz;
mod shots;

pub use chat_format::ChatFormat;
pub use data_folder::{DataFolder, Found, Presence};
pub use definition::Task;
pub use item::{Item, Items};
pub use metric::{Kind, Metric};
