//! What a machine answers.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Effect, Model, Phase, Timer};
use crate::documents;

/// One request to a machine.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `HEAD`, `PUT` ...
    pub method: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Query, or empty.
    pub query: &'a str,
    /// Body, or empty.
    pub body: &'a [u8],
    /// Whether the peer's certificate is one that the machine trusts.
    pub trusted: bool,
}

/// What the machine answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// At once.
    Now {
        /// HTTP status.
        status: u16,
        /// The envelope.
        body: Value,
        /// `Location` header.
        location: Option<String>,
    },
    /// Ask again at this time.
    Later(Duration),
    /// Accept a websocket and send events to it.
    Events,
}

fn sync(metadata: Value) -> Reply {
    let body = json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "", "error_code": 0,
                      "error": "", "metadata": metadata});
    Reply::Now { status: 200, body, location: None }
}

fn error(status: u16, text: &str) -> Reply {
    let body = json!({"type": "error", "status": "", "status_code": 0, "operation": "", "error_code": status,
                      "error": text, "metadata": null});
    Reply::Now { status, body, location: None }
}

fn not_found() -> Reply {
    error(404, "not found")
}

impl Model {
    /// Answers one request.
    pub fn ask(&mut self, now: Duration, request: Request<'_>) -> Reply {
        let method = if request.method == "HEAD" { "GET" } else { request.method };
        match (method, request.path) {
            ("GET", "/") => return sync(json!(["/1.0"])),
            ("GET", "/1.0") => return sync(documents::incus(&self.name, request.trusted)),
            _ if !request.trusted => return error(403, "not authorized"),
            _ => {}
        }
        let body = match serde_json::from_slice::<Value>(request.body) {
            Ok(body) => body,
            Err(_) if request.body.is_empty() => Value::Null,
            Err(cause) => return error(400, &format!("invalid body: {cause}")),
        };
        match request.path.strip_prefix("/os/1.0").map(|rest| rest.trim_end_matches('/')) {
            Some(path) if path.is_empty() || path.starts_with('/') => self.ask_os(now, method, path, &body),
            _ => self.ask_incus(now, method, request, &body),
        }
    }

    fn ask_os(&mut self, now: Duration, method: &str, path: &str, body: &Value) -> Reply {
        match (method, path) {
            ("GET", "") => sync(json!({"environment": {
                "hostname": self.name, "machine_id": self.spec.machine_id, "os_name": "IncusOS",
                "os_version": self.version, "os_version_next": self.version_next,
                "system_is_ready": matches!(self.phase, Phase::Ready { .. }), "uptime": self.uptime(now),
            }})),
            ("GET", "/applications") => {
                let url = |name: &String| format!("/os/1.0/applications/{name}");
                sync(json!(self.applications.iter().map(url).collect::<Vec<_>>()))
            }
            ("POST", "/applications") => self.add_application(body),
            ("GET", "/services") => {
                sync(json!(["ceph", "iscsi", "lvm", "ovn"].map(|name| format!("/os/1.0/services/{name}"))))
            }
            ("POST", "/system/:reboot") => {
                self.power_off(now, true, Some("system-reboot-triggered"));
                sync(json!({}))
            }
            ("POST", "/system/:poweroff") => {
                self.power_off(now, false, Some("system-shutdown-triggered"));
                sync(json!({}))
            }
            ("POST", "/system/update/:check") => {
                self.check_update(now);
                sync(json!({}))
            }
            ("POST", "/system/:factory-reset") => {
                self.factory_reset(now, body);
                sync(json!({}))
            }
            ("GET", _) => self.document(now, path).map_or_else(not_found, sync),
            ("PUT", _) => self.put(path, body),
            // Actions without a consequence that anyone could see from outside.
            ("POST", _) if path.contains("/:") => sync(json!({})),
            _ => not_found(),
        }
    }

    fn document(&self, now: Duration, path: &str) -> Option<Value> {
        let spec = &self.spec;
        Some(match path {
            "/system/resources" => documents::resources(spec),
            "/system/network" => {
                json!({"config": self.network, "state": documents::network_state(spec, self.uptime(now))})
            }
            "/system/security" => documents::security(spec),
            "/system/storage" => json!({"config": self.storage, "state": documents::storage_state(spec)}),
            "/system/update" => json!({
                "config": {"auto_reboot": false, "channel": self.update.channel, "check_frequency": "never"},
                "state": {"last_check": self.update.last_check.map_or("0001-01-01T00:00:00Z".to_owned(), |at| self.wall(at)),
                          "status": self.update_status(now), "needs_reboot": self.version != self.version_next},
            }),
            "/system/provider" => {
                let config = self.provider.clone().unwrap_or_default();
                let name = if self.provider.is_some() { "operations-center" } else { "images" };
                json!({"config": {"name": name, "config": config}, "state": {"registered": self.registered}})
            }
            "/system/kernel" => self.with_config(path, json!({}), json!({})),
            "/system/logging" => {
                self.with_config(path, json!({"syslog": {"address": "", "protocol": "", "log_format": ""}}), json!({}))
            }
            "/services/lvm" => self.with_config(path, json!({"enabled": false, "system_id": 0}), json!({})),
            // What a real Incus asks of the system below it before it serves anyone.
            "/services/ceph" | "/services/iscsi" | "/services/ovn" => {
                self.with_config(path, json!({"enabled": false}), json!({}))
            }
            _ => {
                let name = path.strip_prefix("/applications/")?;
                let position = self.applications.iter().position(|a| a == name)?;
                json!({"config": {}, "state": {
                    "is_primary": position == 0, "initialized": true, "friendly_version": "7.0.2",
                    "version": self.application_version, "available_versions": [self.application_version],
                }})
            }
        })
    }

    fn with_config(&self, path: &str, installed: Value, state: Value) -> Value {
        json!({"config": self.other.get(path).cloned().unwrap_or(installed), "state": state})
    }

    fn put(&mut self, path: &str, body: &Value) -> Reply {
        let config = body["config"].clone();
        let tell = match path {
            "/system/network" => {
                let some = |kind: &str| config[kind].as_array().is_some_and(|list| !list.is_empty());
                if !["interfaces", "bonds", "vlans"].into_iter().any(some) {
                    return error(400, "network configuration has no interfaces, bonds, or vlans defined");
                }
                if let Some(name) = config["dns"]["hostname"].as_str().filter(|n| !n.is_empty()) {
                    self.name = name.to_owned();
                }
                self.network = config;
                Some("network-config-changed")
            }
            "/system/storage" => {
                self.storage = config;
                Some("storage-config-changed")
            }
            "/system/update" => {
                let Some(channel) = config["channel"].as_str() else { return error(400, "no channel") };
                self.update.channel = channel.to_owned();
                None
            }
            "/system/provider" => return self.put_provider(&config),
            "/system/kernel" | "/system/logging" | "/services/lvm" => {
                self.other.insert(path.to_owned(), config);
                None
            }
            _ => return not_found(),
        };
        if let Some(cause) = tell.filter(|_| self.registered) {
            self.effects.push_back(Effect::Tell(cause));
        }
        sync(json!({}))
    }

    /// Switching to a center registers; naming the same one again tells it without a cause (servers.md 6.1).
    fn put_provider(&mut self, config: &Value) -> Reply {
        if config["name"] != "operations-center" {
            (self.provider, self.registered) = (None, false);
            return sync(json!({}));
        }
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        self.provider = Some(config["config"].as_object().into_iter().flatten().filter_map(text).collect());
        self.effects.push_back(if self.registered { Effect::Tell("") } else { Effect::Register });
        sync(json!({}))
    }

    fn add_application(&mut self, body: &Value) -> Reply {
        match body["name"].as_str() {
            Some(name) if self.applications.iter().any(|a| a == name) => error(409, "application is installed"),
            Some(name) if !name.is_empty() => {
                self.applications.push(name.to_owned());
                if self.registered {
                    self.effects.push_back(Effect::Tell("application-update-applied"));
                }
                sync(json!({}))
            }
            _ => error(400, "no name"),
        }
    }

    fn ask_incus(&mut self, now: Duration, method: &str, request: Request<'_>, body: &Value) -> Reply {
        let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match (method, segments.as_slice()) {
            ("GET", ["1.0", "events"]) => Reply::Events,
            ("GET", ["1.0", "cluster", "members", name]) if *name == self.name => sync(json!({
                "server_name": self.name, "url": self.url(), "status": self.member.state.as_str(), "database": true,
                "message": "Fully operational", "architecture": "x86_64", "roles": ["database"], "groups": ["default"],
                "failure_domain": "default", "description": "", "config": {},
            })),
            ("POST", ["1.0", "cluster", "members", name, "state"]) if *name == self.name => self.move_member(now, body),
            ("GET", ["1.0", "operations", id]) => self.operation(now, id, None),
            ("GET", ["1.0", "operations", id, "wait"]) => {
                let timeout = request.query.split('&').find_map(|pair| pair.strip_prefix("timeout="));
                // -1, or none: as long as it takes.
                let seconds = timeout.and_then(|t| t.parse::<u64>().ok()).unwrap_or(u64::from(u32::MAX));
                self.operation(now, id, Some(Duration::from_secs(seconds)))
            }
            _ => not_found(),
        }
    }

    fn move_member(&mut self, now: Duration, body: &Value) -> Reply {
        let (id, done) = (self.operation_id(), now + self.timing.moving);
        let action = body["action"].as_str().unwrap_or_default();
        let operation = match self.member.begin(action, id, now, done) {
            Ok(operation) => operation.clone(),
            Err(text) => return error(400, &text),
        };
        self.timers.push((done, Timer::MemberDone(id)));
        let location = format!("/1.0/operations/{id}");
        let body = json!({"type": "async", "status": "Operation created", "status_code": 100, "operation": location,
                          "error_code": 0, "error": "", "metadata": operation.document(now, |at| self.wall(at))});
        Reply::Now { status: 202, body, location: Some(location) }
    }

    fn operation(&self, now: Duration, id: &str, patience: Option<Duration>) -> Reply {
        let Some(operation) = id.parse::<Uuid>().ok().and_then(|id| self.member.operation(id)) else {
            return not_found();
        };
        match patience {
            Some(patience) if now < operation.done && !patience.is_zero() => {
                Reply::Later(operation.done.min(now.saturating_add(patience)))
            }
            _ => sync(operation.document(now, |at| self.wall(at))),
        }
    }
}
