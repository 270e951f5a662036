//! The budget of one evaluation and what may go wrong before a place is known.

/// How much one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Nodes evaluated, elements compared, and the like.
    pub steps: u64,
    /// Elements of lists and maps created, 16 bytes of text created (inventory.md 8.2).
    pub memory: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 10_000_000, memory: 1_000_000 }
    }
}

/// A failure of an operation; its place is added by whoever knows it.
#[derive(Debug)]
pub(crate) enum Trouble {
    Failed(String),
    Memory,
    Steps,
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

pub(crate) fn failed<T>(message: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Failed(message.into()))
}

/// What is left of the steps, and the memory used.
pub(crate) struct Fuel {
    steps: u64,
    memory: u64,
    limit: u64,
}

impl Fuel {
    pub fn new(budget: Budget) -> Self {
        Self { steps: budget.steps, memory: 0, limit: budget.memory }
    }

    pub fn step(&mut self, steps: usize) -> Result<(), Trouble> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Trouble::Steps),
        }
    }

    /// Accounts for new elements.
    pub fn alloc(&mut self, elements: usize) -> Result<(), Trouble> {
        self.memory = self.memory.saturating_add(elements as u64);
        if self.memory >= self.limit { Err(Trouble::Memory) } else { self.step(elements) }
    }

    /// Accounts for a new text of so many bytes.
    pub fn text(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.alloc(bytes / 16)
    }
}
