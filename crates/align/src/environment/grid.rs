//! A walk on a grid.

use base::Rng;
use data::Message;

use super::{Dialogue, Environment, EnvironmentError, Side, Turn};

/// A walker `A` is to reach `G` on a grid drawn in text; each answer is `up`, `down`, `left` or `right`. The goal gives 1, each
/// step costs a little.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grid;

const SIZE: i64 = 4;
const MAX_STEPS: usize = 12;
const STEP_COST: f64 = 0.02;

impl Environment for Grid {
    fn name(&self) -> &str {
        "grid"
    }

    fn begin(&self, side: Side, n: u64) -> Result<Box<dyn Dialogue + '_>, EnvironmentError> {
        let mut rng = Rng::named(n, "places on a grid");
        let mut place = || [rng.below(SIZE as u64) as i64, rng.below(SIZE as u64) as i64];
        loop {
            let (at, goal) = (place(), place());
            // One goal in four is held out.
            let is_held_out = (goal[0] + goal[1]) % 4 == 0;
            if at != goal && is_held_out == (side == Side::HeldOut) {
                return Ok(Box::new(Walk { at, goal, n_steps: 0 }));
            }
        }
    }
}

struct Walk {
    /// Row and column.
    at: [i64; 2],
    goal: [i64; 2],
    n_steps: usize,
}

impl Walk {
    fn drawn(&self) -> String {
        let cell = |at: [i64; 2]| match at {
            _ if at == self.at => 'A',
            _ if at == self.goal => 'G',
            _ => '.',
        };
        let rows = (0..SIZE).map(|row| (0..SIZE).map(|column| cell([row, column])).collect::<String>());
        rows.collect::<Vec<_>>().join("\n")
    }
}

impl Dialogue for Walk {
    fn messages(&self) -> Vec<Message> {
        vec![Message::new("user", self.drawn())]
    }

    fn answer(&mut self, text: &str, _: bool) -> Result<Turn, EnvironmentError> {
        let step = match text.trim() {
            "up" => [-1, 0],
            "down" => [1, 0],
            "left" => [0, -1],
            "right" => [0, 1],
            _ => [0, 0],
        };
        self.n_steps += 1;
        let next = [0, 1].map(|axis| (self.at[axis] + step[axis]).clamp(0, SIZE - 1));
        self.at = next;
        if self.at == self.goal {
            return Ok(Turn::last(1.0 - STEP_COST));
        }
        let observation = (self.n_steps < MAX_STEPS).then(|| Message::new("user", self.drawn()));
        Ok(Turn { reward: -STEP_COST, observation })
    }

    /// A step towards the goal, or any.
    fn shown(&self, rng: &mut Rng, knows_how: bool) -> Option<String> {
        let [row, column] = [0, 1].map(|axis| self.goal[axis] - self.at[axis]);
        let step = match (row, column) {
            _ if !knows_how => ["up", "down", "left", "right"][rng.below(4) as usize],
            (1.., _) => "down",
            (..=-1, _) => "up",
            (0, 1..) => "right",
            (0, _) => "left",
        };
        Some(step.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goal_can_be_reached_and_wandering_ends() {
        for n in 0..50 {
            let mut dialogue = Grid.begin(Side::Training, n).unwrap();
            let find = |drawn: &str, what: char| {
                let rows: Vec<&str> = drawn.lines().collect();
                let row = rows.iter().position(|row| row.contains(what)).unwrap();
                (row, rows[row].find(what).unwrap())
            };
            let drawn = dialogue.messages()[0].content.clone();
            let ((row, column), (goal_row, goal_column)) = (find(&drawn, 'A'), find(&drawn, 'G'));
            let mut steps = vec![if goal_row > row { "down" } else { "up" }; goal_row.abs_diff(row)];
            steps.extend(vec![
                if goal_column > column { "right" } else { "left" };
                goal_column.abs_diff(column)
            ]);
            let turns: Vec<Turn> = steps.iter().map(|step| dialogue.answer(step, true).unwrap()).collect();
            assert_eq!(turns.last().unwrap(), &Turn::last(1.0 - STEP_COST), "{drawn}");
            assert!(turns[..turns.len() - 1].iter().all(|turn| turn.observation.is_some()));
        }
        let mut dialogue = Grid.begin(Side::HeldOut, 0).unwrap();
        let n = (0..100).take_while(|_| dialogue.answer("stay", true).unwrap().observation.is_some()).count();
        assert_eq!(n + 1, MAX_STEPS);
    }
}
