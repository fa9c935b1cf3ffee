//! The forms of the scaling law, all of them sums of power laws and a floor.

/// C, N and D as positions in [`Features`].
const C: usize = 0;
const N: usize = 1;
const D: usize = 2;

/// Position of −ln L of the reference runs in [`Features`].
const REFERENCE: usize = 3;

/// ln C, ln N, ln D of a run; N and D are 0 where a law does not read them.
pub(crate) type RawFeatures = [f64; 3];

/// [`RawFeatures`], and −ln of the loss that reference runs have at the same shape.
pub(crate) type Features = [f64; 4];

/// The most coefficients that a form has.
pub(crate) const MAX_PARAMS: usize = 6;

/// Coefficients on the scale on which they are fitted: logarithms all of them, the unused ones 0.
pub(crate) type Theta = [f64; MAX_PARAMS];

/// A form of the law. Every one is `ln L = ln Σ_k exp(s_k − exp(p_k)·x_k)`: a sum of terms, each with a scale `s`,
/// and, unless it is the floor, an exponent `exp(p)` on one feature `x`. In a coupled form the terms that decay are joined
/// by `(Σ_k t_k^(1/γ))^γ` before the floor is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// L = a·C^−b.
    Power,
    /// L = a·C^−b + c, the law of the GPT-4 report, section 3.1, <https://arxiv.org/abs/2303.08774>.
    PowerFloor,
    /// L = E + A·N^−α + B·D^−β, <https://arxiv.org/abs/2203.15556>, section 3.3.
    Chinchilla,
    /// L = E + A·N^−α + B·D^−α: one exponent, as in <https://arxiv.org/abs/2403.08540>, equation 4.
    SharedExponent,
    /// L = E + ((A·N^−α)^(1/γ) + (B·D^−β)^(1/γ))^γ. γ = 1 is [`Form::Chinchilla`]; E = 0 and γ = β is the law of
    /// <https://arxiv.org/abs/2001.08361>, equation 1.5. The smaller γ, the more the larger of the two terms decides alone.
    Coupled,
    /// L = K·L_ref(N, D)^κ: see [`crate::ReferenceRuns`].
    Transferred,
}

/// One term: the position of its scale, and those of its exponent and its feature.
struct Term {
    scale: usize,
    decay: Option<(usize, usize)>,
}

const fn floor(scale: usize) -> Term {
    Term { scale, decay: None }
}

const fn power(scale: usize, exponent: usize, feature: usize) -> Term {
    Term { scale, decay: Some((exponent, feature)) }
}

impl Form {
    /// Forms in compute alone.
    pub(crate) const COMPUTE: [Self; 2] = [Self::PowerFloor, Self::Power];
    /// Forms in parameters and tokens.
    pub(crate) const SHAPE: [Self; 3] = [Self::Chinchilla, Self::SharedExponent, Self::Coupled];

    /// The name in `Forecast::law`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Power => "compute_no_floor",
            Self::PowerFloor => "compute",
            Self::Chinchilla => "chinchilla",
            Self::SharedExponent => "chinchilla_shared_exponent",
            Self::Coupled => "coupled",
            Self::Transferred => "transferred",
        }
    }

    /// The law as one reads it.
    pub(crate) fn formula(self) -> &'static str {
        match self {
            Self::Power => "L = a·C^-b",
            Self::PowerFloor => "L = a·C^-b + c",
            Self::Chinchilla => "L = E + A/N^alpha + B/D^beta",
            Self::SharedExponent => "L = E + A/N^alpha + B/D^alpha",
            Self::Coupled => "L = E + ((A/N^alpha)^(1/gamma) + (B/D^beta)^(1/gamma))^gamma",
            Self::Transferred => "L = K·L_ref(N, D)^kappa",
        }
    }

    /// Names of the coefficients, in the order of [`Theta`].
    pub(crate) fn coefficient_names(self) -> &'static [&'static str] {
        match self {
            Self::Power => &["a", "b"],
            Self::PowerFloor => &["a", "b", "c"],
            Self::Chinchilla => &["A", "alpha", "B", "beta", "E"],
            Self::SharedExponent => &["A", "alpha", "B", "E"],
            Self::Coupled => &["A", "alpha", "B", "beta", "E", "gamma"],
            Self::Transferred => &["K", "kappa"],
        }
    }

    /// Name and position of every coefficient of a report; a shared exponent stands under both of its names.
    pub(crate) fn report(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Power => &[("a", 0), ("b", 1)],
            Self::PowerFloor => &[("a", 0), ("b", 1), ("c", 2)],
            Self::Chinchilla => &[("A", 0), ("alpha", 1), ("B", 2), ("beta", 3), ("E", 4)],
            Self::SharedExponent => &[("A", 0), ("alpha", 1), ("B", 2), ("beta", 1), ("E", 3)],
            Self::Coupled => &[("A", 0), ("alpha", 1), ("B", 2), ("beta", 3), ("E", 4), ("gamma", 5)],
            Self::Transferred => &[("K", 0), ("kappa", 1)],
        }
    }

    fn terms(self) -> &'static [Term] {
        match self {
            Self::Power => const { &[power(0, 1, C)] },
            Self::PowerFloor => const { &[power(0, 1, C), floor(2)] },
            Self::Chinchilla | Self::Coupled => const { &[power(0, 1, N), power(2, 3, D), floor(4)] },
            Self::SharedExponent => const { &[power(0, 1, N), power(2, 1, D), floor(3)] },
            Self::Transferred => const { &[power(0, 1, REFERENCE)] },
        }
    }

    /// Whether the law reads N and D.
    pub(crate) fn needs_shape(self) -> bool {
        !matches!(self, Self::Power | Self::PowerFloor)
    }

    /// How many coefficients there are.
    pub(crate) fn n_params(self) -> usize {
        self.coefficient_names().len()
    }

    /// Position of the floor among the coefficients.
    pub(crate) fn floor(self) -> Option<usize> {
        self.terms().iter().find(|term| term.decay.is_none()).map(|term| term.scale)
    }

    /// Position of γ among the coefficients.
    pub(crate) fn coupling(self) -> Option<usize> {
        (self == Self::Coupled).then_some(5)
    }

    /// Whether coefficient `idx` is an exponent.
    pub(crate) fn is_exponent(self, idx: usize) -> bool {
        self.terms().iter().any(|term| term.decay.is_some_and(|(exponent, _)| exponent == idx))
    }

    /// `ln L`.
    pub(crate) fn log_loss(self, theta: &Theta, x: &Features) -> f64 {
        self.log_loss_and_gradient(theta, x, &mut [0.0; MAX_PARAMS])
    }

    /// `ln L`, and `∂ ln L / ∂θ`, which overwrites `gradient`.
    ///
    /// With the shares `w_k` of the terms in `L`: `∂/∂s_k = w_k` and `∂/∂p_k = −w_k·exp(p_k)·x_k`. Where terms are coupled,
    /// `w_k` is the share of the coupled sum times that of term k within it, and
    /// `∂/∂ ln γ = w·(γ·ln Σ_k t_k^(1/γ) − Σ_k u_k·ln t_k)` with the shares `w` of the sum and `u_k` within it.
    pub(crate) fn log_loss_and_gradient(self, theta: &Theta, x: &Features, gradient: &mut Theta) -> f64 {
        let terms = self.terms();
        let mut values = [f64::NEG_INFINITY; 3];
        for (value, term) in values.iter_mut().zip(terms) {
            *value = theta[term.scale]
                - term.decay.map_or(0.0, |(exponent, feature)| theta[exponent].exp() * x[feature]);
        }
        *gradient = [0.0; MAX_PARAMS];
        let (log_loss, shares) = match self.coupling() {
            None => log_sum(values),
            Some(idx) => {
                let gamma = theta[idx].exp();
                let [n, d, floor] = values;
                let (log_sum_within, within) = log_sum([n / gamma, d / gamma, f64::NEG_INFINITY]);
                let joined = gamma * log_sum_within;
                let (log_loss, [share, of_floor, _]) = log_sum([joined, floor, f64::NEG_INFINITY]);
                gradient[idx] = share * (joined - within[0] * n - within[1] * d);
                (log_loss, [share * within[0], share * within[1], of_floor])
            }
        };
        for (share, term) in shares.iter().zip(terms) {
            gradient[term.scale] += share;
            if let Some((exponent, feature)) = term.decay {
                gradient[exponent] -= share * theta[exponent].exp() * x[feature];
            }
        }
        log_loss
    }

    /// `θ` for features that were shifted by `shift`, as one for the features themselves.
    pub(crate) fn unshifted(self, theta: &Theta, shift: &Features) -> Theta {
        let mut moved = *theta;
        for term in self.terms() {
            if let Some((exponent, feature)) = term.decay {
                moved[term.scale] += theta[exponent].exp() * shift[feature];
            }
        }
        moved
    }

    /// N and D that minimise the law at `flops = 6·N·D`.
    ///
    /// `∂L/∂ln N = 0` along `ln D = ln(C/6) − ln N` gives `α·(A·N^−α)^(1/γ) = β·(B·D^−β)^(1/γ)`, hence
    /// `ln N = (γ·ln(α/β) + ln(A/B) + β·ln(C/6)) / (α + β)`; <https://arxiv.org/abs/2203.15556>, equation 4, has γ = 1.
    pub(crate) fn compute_optimal(self, theta: &Theta, flops: f64) -> Option<(f64, f64)> {
        let [first, second] = match self.terms() {
            [n @ Term { decay: Some(_), .. }, d @ Term { decay: Some(_), .. }, ..] => [n, d],
            _ => return None,
        };
        let exponent = |term: &Term| term.decay.map_or(0.0, |(idx, _)| theta[idx].exp());
        let (alpha, beta) = (exponent(first), exponent(second));
        let gamma = self.coupling().map_or(1.0, |idx| theta[idx].exp());
        let ln_ratio = gamma * (alpha / beta).ln() + theta[first.scale] - theta[second.scale];
        let ln_product = (flops / 6.0).ln();
        let ln_n = (ln_ratio + beta * ln_product) / (alpha + beta);
        Some((ln_n.exp(), (ln_product - ln_n).exp()))
    }
}

/// `ln Σ_k exp(v_k)`, and the share of each term in the sum.
fn log_sum(values: [f64; 3]) -> (f64, [f64; 3]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps = values.map(|value| (value - largest).exp());
    let sum: f64 = exps.iter().sum();
    (largest + sum.ln(), exps.map(|exp| exp / sum))
}

#[cfg(test)]
mod tests {
    use super::{Form, MAX_PARAMS};

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let theta = [0.7, -1.3, 0.4, -0.9, 0.2, -0.6];
        for form in Form::COMPUTE.into_iter().chain(Form::SHAPE).chain([Form::Transferred]) {
            for x in [[0.0; 4], [2.0, -1.0, 3.0, 0.7], [-4.0, 2.5, -6.5, -0.2]] {
                let mut gradient = [0.0; MAX_PARAMS];
                form.log_loss_and_gradient(&theta, &x, &mut gradient);
                for i in 0..MAX_PARAMS {
                    let at = |h: f64| {
                        let mut moved = theta;
                        moved[i] += h;
                        form.log_loss(&moved, &x)
                    };
                    let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                    // Worst seen 2e-11; a lost factor of x or of the share is 1e-2 and more.
                    assert!(
                        (numeric - gradient[i]).abs() < 1e-9,
                        "{form:?} {i}: {numeric} and {}",
                        gradient[i]
                    );
                }
            }
        }
    }

    #[test]
    fn the_best_shape_is_a_minimum_along_its_compute() {
        let theta = [2.0, -1.3, 3.0, -1.5, -0.4, -0.7];
        for form in [Form::Chinchilla, Form::Coupled] {
            let (n, d) = form.compute_optimal(&theta, 1e15).unwrap();
            assert!((6.0 * n * d / 1e15 - 1.0).abs() < 1e-9);
            let at = |factor: f64| form.log_loss(&theta, &[0.0, (n * factor).ln(), (d / factor).ln(), 0.0]);
            assert!(at(1.0) < at(1.05) && at(1.0) < at(1.0 / 1.05), "{form:?}");
        }
    }
}
