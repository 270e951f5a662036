//! What each channel offers: every read of a server looks into it.

use crate::{Engine, Error};
use muster_domain::server::version::ChannelIndex;
use muster_store::tables::updates;
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
        let rows = self.store().read(|tx| updates::list(tx, &updates::Filter::default())).await?;
        let mut by_channel: HashMap<String, Vec<(String, Vec<String>)>> = HashMap::new();
        for row in rows.into_iter().filter(|r| r.status == "ready") {
            let files: Vec<File> = serde_json::from_str(&row.files).unwrap_or_default();
            let names: Vec<String> = files.into_iter().map(|f| f.filename).collect();
            for channel in row.channels {
                by_channel.entry(channel).or_default().push((row.version.clone(), names.clone()));
            }
        }
        let indexes = by_channel.into_iter().map(|(channel, updates)| {
            let updates = updates.iter().map(|(version, files)| (version.as_str(), files.iter().map(String::as_str)));
            (channel, ChannelIndex::new(updates))
        });
        Ok(ChannelIndexes(Arc::new(indexes.collect()), Arc::new(ChannelIndex::new(Vec::<(&str, Vec<&str>)>::new()))))
    }
}

#[derive(serde::Deserialize)]
struct File {
    filename: String,
}
