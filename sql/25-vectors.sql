-- pgvector's functions, bound when the extension is created: they work with any search_path and in whichever
-- schema vector lives, and go on when it is moved.

CREATE FUNCTION tiny_dancer.vector_bytes(embedding vector) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT vector_send(embedding);
END;
COMMENT ON FUNCTION tiny_dancer.vector_bytes(vector) IS
    'binary form of a vector: two 16-bit numbers, then its elements as big-endian 32-bit floats';

-- array_send() goes through the elements one number at a time, which takes six times as long as fetching the array.
-- What PostgreSQL sends of a bytea is a copy of its bytes; of any other value of varying length, too.
CREATE FUNCTION tiny_dancer.vectors_as_stored(embeddings vector[]) RETURNS bytea
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT
AS 'byteasend';
COMMENT ON FUNCTION tiny_dancer.vectors_as_stored(vector[]) IS
    'internal: the bytes of an array of vectors as they are in the memory of the server, but for its length';

CREATE FUNCTION tiny_dancer.numbers_as_stored(elements real[]) RETURNS bytea
LANGUAGE internal IMMUTABLE PARALLEL SAFE STRICT
AS 'byteasend';
COMMENT ON FUNCTION tiny_dancer.numbers_as_stored(real[]) IS
    'internal: the bytes of an array of numbers as they are in the memory of the server, but for its length';

CREATE FUNCTION tiny_dancer.halfvec_bytes(embedding halfvec) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT halfvec_send(embedding);
END;
COMMENT ON FUNCTION tiny_dancer.halfvec_bytes(halfvec) IS
    'binary form of a half-precision vector: two 16-bit numbers, then its elements as big-endian 16-bit floats';

CREATE FUNCTION tiny_dancer.to_vector(elements real[]) RETURNS vector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT elements::vector;
END;
COMMENT ON FUNCTION tiny_dancer.to_vector(real[]) IS 'vector of the elements';

CREATE FUNCTION tiny_dancer.to_halfvec(elements real[]) RETURNS halfvec
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT elements::halfvec;
END;
COMMENT ON FUNCTION tiny_dancer.to_halfvec(real[]) IS 'half-precision vector of the elements';
