#!/usr/bin/env bash
# Gives each role its rights on one application's topics, groups and transactions: docs/security.md.
#   acls.sh BROKERS APP [option of kafka-acls.sh …], for example --command-config admin.properties
# Users are named as the roles. It may be run again; kafka-acls.sh must be on PATH.
set -euo pipefail
brokers=$1 app=$2
shift 2
more=("$@")

# allow ROLE "OPERATION …" KIND NAME [prefixed]
allow() {
    local operations=() operation
    for operation in $2; do operations+=(--operation "$operation"); done
    kafka-acls.sh --bootstrap-server "$brokers" "${more[@]}" --add --allow-principal "User:$1" \
        "${operations[@]}" "--$3" "$4" --resource-pattern-type "${5:-literal}"
}

# ROLE, "OPERATION …", and topics without the application's name
topics() {
    local role=$1 operations=$2 topic
    shift 2
    for topic; do allow "$role" "$operations" topic "$app.$topic"; done
}

# All commands that are no process of their own: topics, produce, consume, status, doctor, dlq, models, upgrade, verify, backup, restore.
allow admin "All" topic "$app." prefixed
allow admin "All" group "$app" prefixed
allow admin "All" transactional-id "$app." prefixed
allow admin "Describe DescribeConfigs" cluster kafka-cluster

topics learner "Read Describe DescribeConfigs" events labels commands journal predictions alerts models stats dead-letters
topics learner "Write" journal predictions alerts models stats dead-letters
allow learner "Read" group "$app"
allow learner "Write Describe" transactional-id "$app." prefixed

# On your own topics: "Read Describe DescribeConfigs" for bridge and admin, "Write Describe" on the one in outputs=.
topics bridge "Read Describe DescribeConfigs" bridge retries predictions events labels
topics bridge "Describe DescribeConfigs" commands alerts models stats dead-letters journal  # it checks that all are there
topics bridge "Write" bridge events labels dead-letters alerts
topics bridge "Delete" bridge
allow bridge "Read" group "$app.bridge"
allow bridge "Write Describe" transactional-id "$app.bridge"

topics ops "Read Describe DescribeConfigs" alerts stats models dead-letters
topics ops "Write" commands alerts dead-letters
allow ops "Create Read Write Describe DescribeConfigs" topic "$app.ops-" prefixed
allow ops "Read" group "$app.ops"
# To say that no bridge runs; also "Describe" on your own topics.
topics ops "Read Describe" bridge
allow ops "Describe" group "$app.bridge"

topics predictor "Write Describe" events labels alerts

topics producer "Write Describe" events labels
topics consumer "Read Describe" predictions alerts dead-letters
allow consumer "Read" group "$app-consumer" prefixed
