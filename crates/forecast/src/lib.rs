//! Points of small runs in, a forecast with an honest interval out: pure mathematics, with no internal dependency.

#![forbid(unsafe_code)]
