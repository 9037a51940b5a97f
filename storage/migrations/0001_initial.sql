-- Neither primary keys, sequences nor indexes: a DuckLake has none, and the SQL must be the same.

CREATE TABLE model (
    name VARCHAR NOT NULL,
    specification VARCHAR NOT NULL,          -- storage.models.Model as JSON
    region_set VARCHAR,
    base_level TINYINT,                      -- finest level of the cell pyramid; NULL before the first row
    registered_at TIMESTAMP NOT NULL
);

-- Classes are coded once and never recoded, so a class can be added or reordered in the configuration.
CREATE TABLE model_class (model VARCHAR NOT NULL, code SMALLINT NOT NULL, name VARCHAR NOT NULL);

-- So are features, each within its kind: the code is the place in the lists of a prediction, from 1.
CREATE TABLE model_feature (model VARCHAR NOT NULL, kind VARCHAR NOT NULL, code SMALLINT NOT NULL, name VARCHAR NOT NULL);

CREATE TABLE model_version (model VARCHAR NOT NULL, version VARCHAR NOT NULL, first_seen TIMESTAMP NOT NULL);

-- Where the bins of a numeric feature lie: bin = floor((value - origin) / width), open-ended.
CREATE TABLE feature_bins (
    model VARCHAR NOT NULL, feature VARCHAR NOT NULL,
    origin DOUBLE NOT NULL, width DOUBLE NOT NULL,
    fitted_on BIGINT NOT NULL                -- rows the bins were fitted on
);

CREATE TABLE prediction (
    id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    predicted_at TIMESTAMP NOT NULL,         -- UTC
    lon DOUBLE NOT NULL, lat DOUBLE NOT NULL, -- EPSG:4326, degrees
    x INTEGER NOT NULL, y INTEGER NOT NULL,  -- Web Mercator, in 2^-30 of the world, from the north-west corner
    region INTEGER NOT NULL,                 -- key of the deepest region that holds the point; 0: none
    predicted SMALLINT NOT NULL,             -- class code
    confidence DOUBLE,
    probabilities FLOAT[],                   -- by class code
    entropy FLOAT,                           -- nats
    mutual_information FLOAT,                -- nats
    numeric_features FLOAT[],                -- by feature code
    categorical_features VARCHAR[],
    area_m2 DOUBLE,
    label SMALLINT,                          -- class code; NULL until the label is known
    labelled_at TIMESTAMP,
    batch VARCHAR NOT NULL
);

CREATE TABLE batch (
    id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,                   -- predictions, labels
    model VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    received_at TIMESTAMP NOT NULL,
    "rows" BIGINT NOT NULL, accepted BIGINT NOT NULL, replaced BIGINT NOT NULL, unchanged BIGINT NOT NULL,
    refused BIGINT NOT NULL, outside_regions BIGINT NOT NULL, repaired BIGINT NOT NULL,
    seconds DOUBLE NOT NULL
);

CREATE TABLE rejected_row (
    batch VARCHAR NOT NULL,
    "row" BIGINT NOT NULL,                   -- position in the file, from 1
    reason VARCHAR NOT NULL,
    content VARCHAR NOT NULL                 -- the row as JSON
);

CREATE TABLE region (
    region_set VARCHAR NOT NULL,
    "key" INTEGER NOT NULL,                  -- from 1, within the set
    id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    level INTEGER NOT NULL,                  -- 1: no parent
    parent INTEGER,                          -- key
    area_m2 DOUBLE NOT NULL,
    geometry BLOB NOT NULL                   -- WKB, EPSG:4326
);

-- Roll-ups hold additive sums only. A change is a further row (negative for what is taken away): always sum.
CREATE TABLE cell_rollup (
    model VARCHAR NOT NULL, version VARCHAR NOT NULL, day DATE NOT NULL,
    level TINYINT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, predicted SMALLINT NOT NULL,
    n BIGINT NOT NULL, n_labelled BIGINT NOT NULL, n_correct BIGINT NOT NULL,
    n_confidence BIGINT NOT NULL, sum_confidence DOUBLE NOT NULL, n_entropy BIGINT NOT NULL, sum_entropy DOUBLE NOT NULL
);

CREATE TABLE region_rollup (
    model VARCHAR NOT NULL, version VARCHAR NOT NULL, day DATE NOT NULL, region INTEGER NOT NULL,
    predicted SMALLINT NOT NULL, label SMALLINT, confidence_bin TINYINT,   -- 20 equal bins; NULL: no confidence
    n BIGINT NOT NULL,
    sum_confidence DOUBLE NOT NULL, sum_confidence2 DOUBLE NOT NULL, n_entropy BIGINT NOT NULL, sum_entropy DOUBLE NOT NULL,
    n_area BIGINT NOT NULL, sum_area DOUBLE NOT NULL
);

CREATE TABLE feature_rollup (
    model VARCHAR NOT NULL, version VARCHAR NOT NULL, day DATE NOT NULL, region INTEGER NOT NULL,
    feature VARCHAR NOT NULL,
    bin INTEGER,                             -- numeric features; NULL with no category: missing
    category VARCHAR,                        -- categorical features
    n BIGINT NOT NULL
);

CREATE TABLE run (
    id VARCHAR NOT NULL, model VARCHAR NOT NULL,
    window_start TIMESTAMP NOT NULL, window_end TIMESTAMP NOT NULL,
    started_at TIMESTAMP NOT NULL, finished_at TIMESTAMP,
    outcome VARCHAR NOT NULL, message VARCHAR NOT NULL,
    predictions BIGINT NOT NULL, findings BIGINT NOT NULL,
    content VARCHAR NOT NULL                 -- stands for the rows and labels judged
);

CREATE TABLE finding (
    run VARCHAR NOT NULL, model VARCHAR NOT NULL, version VARCHAR NOT NULL,
    region VARCHAR, region_name VARCHAR,
    window_start TIMESTAMP NOT NULL, window_end TIMESTAMP NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE, lower DOUBLE, upper DOUBLE, n BIGINT NOT NULL,
    verdict VARCHAR NOT NULL,
    reference DOUBLE,
    details VARCHAR NOT NULL                 -- JSON
);

CREATE TABLE report (
    id VARCHAR NOT NULL, run VARCHAR NOT NULL, model VARCHAR NOT NULL,
    window_start TIMESTAMP NOT NULL, window_end TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    html BLOB NOT NULL,                      -- gzip
    sample VARCHAR NOT NULL                  -- JSON: rows on each side, seed
);

CREATE TABLE alert (
    id VARCHAR NOT NULL, rule VARCHAR NOT NULL, model VARCHAR NOT NULL, version VARCHAR NOT NULL,
    region VARCHAR, region_name VARCHAR, metric VARCHAR NOT NULL, severity VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    opened_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL, closed_at TIMESTAMP,
    window_start TIMESTAMP NOT NULL, window_end TIMESTAMP NOT NULL,
    value DOUBLE, lower DOUBLE, upper DOUBLE, n BIGINT NOT NULL, reference DOUBLE,
    message VARCHAR NOT NULL, url VARCHAR NOT NULL,
    since TIMESTAMP NOT NULL                 -- start of the window it opened on
);

CREATE TABLE alert_event (
    alert VARCHAR NOT NULL, happened_at TIMESTAMP NOT NULL, event VARCHAR NOT NULL,   -- opened, updated, closed
    actor VARCHAR NOT NULL, detail VARCHAR NOT NULL
);

CREATE TABLE delivery (
    id VARCHAR NOT NULL, alert VARCHAR NOT NULL, event VARCHAR NOT NULL, channel VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL, attempted_at TIMESTAMP, attempts INTEGER NOT NULL,
    state VARCHAR NOT NULL,                  -- waiting, sent, failed
    error VARCHAR NOT NULL
);
