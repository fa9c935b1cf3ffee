//! A checkpoint in, scores with intervals out. Knows neither the trainer nor the forecast.

#![forbid(unsafe_code)]
