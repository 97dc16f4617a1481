-- From 0.1.0 to 0.2.0. What is written by hand here is what CREATE OR REPLACE FUNCTION can not do; see
-- docs/upgrading.md.

-- maintain() deletes by this time, and read the whole table to find it.
CREATE INDEX foreseen_outcomes_time ON tiny_dancer.foreseen_outcomes USING brin (recorded_at);

-- @FUNCTIONS@
