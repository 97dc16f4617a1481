-- Latencies in buckets of a width of 3 %, so that histograms of many hours can be added up. The figure that stands for a
-- bucket is off by at most (1.03 - 1) / (1.03 + 1) = 1.5 %, and so is a percentile that lies between two of them.

CREATE FUNCTION tiny_dancer.latency_bucket(latency_ms float8) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Bounded, since powers of 1.03 overflow: figures beyond 10^256 ms mean nothing.
    SELECT CASE WHEN latency_ms > 0
                THEN LEAST(GREATEST(pg_catalog.ceil(pg_catalog.ln(latency_ms) / pg_catalog.ln(1.03::float8)),
                                    -20000), 20000)::integer
                WHEN latency_ms = 0 THEN -20001
           END;
END;
COMMENT ON FUNCTION tiny_dancer.latency_bucket(float8) IS
    'internal: number of the bucket of a histogram that a latency belongs to; bucket n ends at 1.03^n milliseconds';

CREATE FUNCTION tiny_dancer.bucket_latency(bucket integer) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN bucket >= -20000 THEN 2 / 2.03::float8 * pg_catalog.power(1.03::float8, bucket) ELSE 0 END;
END;
COMMENT ON FUNCTION tiny_dancer.bucket_latency(integer) IS
    'internal: the latency that stands for a bucket of a histogram, in milliseconds';
