-- Neither primary keys, sequences nor indexes: a DuckLake has none, and the SQL must be the same.

CREATE TABLE model (
    name VARCHAR NOT NULL,
    "key" INTEGER NOT NULL,                  -- storage.keys.key_of(name): stands for the model in the large tables
    specification VARCHAR NOT NULL,          -- storage.models.Model as JSON
    region_set VARCHAR,
    registered_at TIMESTAMP NOT NULL
);

-- Classes are coded once and never recoded, so a class can be added or reordered in the configuration.
CREATE TABLE model_class (model VARCHAR NOT NULL, code SMALLINT NOT NULL, name VARCHAR NOT NULL);

-- So are features, each within its kind: code 3 of kind numeric is the column numeric_3 of prediction.
CREATE TABLE model_feature (model VARCHAR NOT NULL, kind VARCHAR NOT NULL, code SMALLINT NOT NULL, name VARCHAR NOT NULL);

CREATE TABLE model_version (
    model VARCHAR NOT NULL, version VARCHAR NOT NULL,
    "key" INTEGER NOT NULL,                  -- storage.keys.key_of(version)
    first_seen TIMESTAMP NOT NULL
);

-- Where the bins of a numeric feature lie: bin = floor((value - origin) / width), open-ended.
CREATE TABLE feature_bins (
    model VARCHAR NOT NULL, feature VARCHAR NOT NULL,
    origin DOUBLE NOT NULL, width DOUBLE NOT NULL,
    fitted_on BIGINT NOT NULL                -- rows the bins were fitted on
);

-- A column for each feature (numeric_1 FLOAT, categorical_1 VARCHAR, ...) is added when a model first has so many.
CREATE TABLE prediction (
    id VARCHAR NOT NULL,
    model INTEGER NOT NULL,                  -- keys, which pack and compare better than names
    version INTEGER NOT NULL,
    predicted_at TIMESTAMP_MS NOT NULL,      -- UTC
    x BIGINT NOT NULL, y BIGINT NOT NULL,    -- Web Mercator, in 2^-32 of the world, from the north-west corner
    region INTEGER NOT NULL,                 -- key of the deepest region that holds the point; 0: none
    predicted SMALLINT NOT NULL,             -- class code
    confidence DOUBLE,
    probabilities FLOAT[],                   -- by class code
    entropy FLOAT,                           -- nats
    mutual_information FLOAT,                -- nats
    area_m2 DOUBLE,
    label SMALLINT,                          -- class code; NULL until the label is known
    labelled_at TIMESTAMP
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
    seconds DOUBLE NOT NULL,
    west BIGINT, north BIGINT, east BIGINT, south BIGINT,   -- what its predictions span: positions on the map
    first_day DATE, last_day DATE
);

-- On which days a batch changed predictions (kind predictions) or their labels: what tells a window it is out of date.
CREATE TABLE touched_day (model VARCHAR NOT NULL, day DATE NOT NULL, kind VARCHAR NOT NULL, batch VARCHAR NOT NULL);

-- Up to which number of batches the predictions of a week lie in the order of the map (storage.compaction).
CREATE TABLE sorted_week (model VARCHAR NOT NULL, week DATE NOT NULL, batches BIGINT NOT NULL);

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
-- Each is kept at several levels of time: period 0 is all time, 1 months, 2 weeks from Monday, 3 days; start is the
-- first day of the period. Sums of confidence and entropy count millionths, so that they are exact in any order.

-- By cell of the map pyramid: the map.
CREATE TABLE cell_rollup (
    model INTEGER NOT NULL, version INTEGER NOT NULL, period TINYINT NOT NULL, start DATE NOT NULL,
    level TINYINT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL, predicted SMALLINT NOT NULL,
    n BIGINT NOT NULL, n_labelled BIGINT NOT NULL, n_correct BIGINT NOT NULL,
    n_without_confidence BIGINT NOT NULL, sum_confidence BIGINT NOT NULL, sum_labelled_confidence BIGINT NOT NULL,
    n_without_entropy BIGINT NOT NULL, sum_entropy BIGINT NOT NULL
);

-- By cell and day without the class: what changes from day to day, by finer cells.
CREATE TABLE day_rollup (
    model INTEGER NOT NULL, version INTEGER NOT NULL, period TINYINT NOT NULL, start DATE NOT NULL,
    level TINYINT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
    n BIGINT NOT NULL, n_labelled BIGINT NOT NULL, n_correct BIGINT NOT NULL,
    n_without_confidence BIGINT NOT NULL, sum_confidence BIGINT NOT NULL, sum_labelled_confidence BIGINT NOT NULL
);

-- By cell too, with what accuracy, confusion and calibration are made of: a box on the map.
CREATE TABLE outcome_rollup (
    model INTEGER NOT NULL, version INTEGER NOT NULL, period TINYINT NOT NULL, start DATE NOT NULL,
    level TINYINT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
    predicted SMALLINT NOT NULL, label SMALLINT, confidence_bin TINYINT,   -- 20 equal bins; NULL: no confidence
    n BIGINT NOT NULL, sum_confidence BIGINT NOT NULL, sum_confidence2 BIGINT NOT NULL,
    n_without_entropy BIGINT NOT NULL, sum_entropy BIGINT NOT NULL
);

-- The same by region: every figure that a run gives.
CREATE TABLE region_rollup (
    model INTEGER NOT NULL, version INTEGER NOT NULL, period TINYINT NOT NULL, start DATE NOT NULL,
    region INTEGER NOT NULL,
    predicted SMALLINT NOT NULL, label SMALLINT, confidence_bin TINYINT,
    n BIGINT NOT NULL, sum_confidence BIGINT NOT NULL, sum_confidence2 BIGINT NOT NULL
);

-- Which levels of which roll-up are kept of a model: those that hold far fewer rows than there are predictions.
CREATE TABLE rollup_level (
    model INTEGER NOT NULL, rollup VARCHAR NOT NULL, period TINYINT NOT NULL, level TINYINT NOT NULL
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
