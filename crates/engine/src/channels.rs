//! What each channel offers: every read of a server looks into it.

use crate::{Engine, Error};
use muster_domain::server::version::ChannelIndex;
use std::{collections::HashMap, sync::Arc};

/// An index for each channel that has updates. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ChannelIndexes(Arc<HashMap<String, ChannelIndex>>, Arc<ChannelIndex>);

impl ChannelIndexes {
    /// Of one channel; one without updates offers nothing.
    pub fn of(&self, channel: &str) -> &ChannelIndex {
        self.0.get(channel).unwrap_or(&self.1)
    }
}

impl Engine {
    /// The indexes as of now.
    ///
    /// # Errors
    /// The store's.
    pub async fn channel_index(&self) -> Result<ChannelIndexes, Error> {
        let list = self.updates().await?;
        let mut by_channel: HashMap<&str, Vec<(&str, Vec<&str>)>> = HashMap::new();
        for listed in list.updates().iter().filter(|listed| listed.update.update_status == "ready") {
            let names: Vec<&str> = listed.files.iter().map(|file| file.filename.as_str()).collect();
            for channel in &listed.update.channels {
                by_channel.entry(channel).or_default().push((&listed.update.version, names.clone()));
            }
        }
        let indexes = by_channel.into_iter().map(|(channel, updates)| (channel.to_owned(), ChannelIndex::new(updates)));
        Ok(ChannelIndexes(Arc::new(indexes.collect()), Arc::new(ChannelIndex::new(Vec::<(&str, Vec<&str>)>::new()))))
    }
}
