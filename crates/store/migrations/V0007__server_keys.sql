-- What the poller looks at each second. Without it every look reads the documents of every server.
CREATE INDEX servers_keys ON servers (name, id, machine_id, server_type, status, status_detail, last_status_updated, failures);
