//! Collections that this version keeps empty: clusters, templates, images and inventory cannot be made yet, so none exist.
//! Clients of the reference ask for them on the way to what they want.

use crate::answer::Sync;

type None = Sync<[(); 0]>;

/// Clusters: none can be made by this version.
#[utoipa::path(get, path = "/1.0/provisioning/clusters", tag = "clusters", responses((status = 200)))]
pub async fn clusters() -> None {
    Sync([])
}

/// Cluster templates: none can be made by this version.
#[utoipa::path(get, path = "/1.0/provisioning/cluster-templates", tag = "clusters", responses((status = 200)))]
pub async fn cluster_templates() -> None {
    Sync([])
}

/// Incus images: none can be made by this version.
#[utoipa::path(get, path = "/1.0/images/incus", tag = "images", responses((status = 200)))]
pub async fn images() -> None {
    Sync([])
}

/// Image sources: none can be made by this version.
#[utoipa::path(get, path = "/1.0/images/sources", tag = "images", responses((status = 200)))]
pub async fn image_sources() -> None {
    Sync([])
}

/// Instances: the inventory is not part of this version.
#[utoipa::path(get, path = "/1.0/inventory/instances", tag = "inventory", responses((status = 200)))]
pub async fn instances() -> None {
    Sync([])
}
