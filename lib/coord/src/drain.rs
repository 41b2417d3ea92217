//! Taking a partition out of service, on somebody's word.

use skald_ring::PartitionState;

use crate::cluster::Cluster;
use crate::store::StoreError;

/// Why a partition is not drained, or not put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    #[error("there is no partition {0}")]
    Unknown(u32),
    #[error("partition {0} is the only one that takes writes: add another one before it leaves")]
    LastActive(u32),
    #[error("partition {n} is {state:?}")]
    State { n: u32, state: PartitionState },
    #[error("partition {0} is being changed by somebody else, try again")]
    Conflict(u32),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Cluster {
    /// Lets a partition take no new data from now on. Its ingesters flush what they have and then mark it
    /// removed. Answers the state it is in; asking again is harmless.
    pub async fn drain(&self, n: u32) -> Result<PartitionState, DrainError> {
        self.look().await?;
        let picture = self.picture();
        let at = picture.partitions.get(&n).ok_or(DrainError::Unknown(n))?;
        let is_active = |p: u32| {
            picture.partitions.get(&p).is_some_and(|at| at.record.state == PartitionState::Active)
        };
        match at.record.state {
            PartitionState::Active => {
                if !picture.partitions.keys().any(|&p| p != n && is_active(p)) {
                    return Err(DrainError::LastActive(n));
                }
                self.move_to(n, PartitionState::ReadOnly).await
            }
            state @ (PartitionState::ReadOnly | PartitionState::Removed) => Ok(state),
            state @ (PartitionState::Pending | PartitionState::Joining) => {
                Err(DrainError::State { n, state })
            }
        }
    }

    /// Lets a partition that is being drained take data again.
    pub async fn undrain(&self, n: u32) -> Result<PartitionState, DrainError> {
        self.look().await?;
        let picture = self.picture();
        let at = picture.partitions.get(&n).ok_or(DrainError::Unknown(n))?;
        match at.record.state {
            PartitionState::ReadOnly => self.move_to(n, PartitionState::Active).await,
            state @ PartitionState::Active => Ok(state),
            state => Err(DrainError::State { n, state }),
        }
    }

    async fn move_to(&self, n: u32, state: PartitionState) -> Result<PartitionState, DrainError> {
        let picture = self.picture();
        let at = picture.partitions.get(&n).ok_or(DrainError::Unknown(n))?;
        let mut record = at.record.clone();
        record.state = state;
        record.since_ms = self.0.clock.now_ms();
        if !self.put_partition(n, at.revision, &record).await? {
            return Err(DrainError::Conflict(n));
        }
        self.look().await?;
        self.0.wake.notify_one();
        Ok(state)
    }
}
