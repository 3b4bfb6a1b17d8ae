-- The files that runs were given, where no shared folder keeps them. Read and written a chunk at a time.
CREATE TABLE file_chunk (
  run  text COLLATE "C" NOT NULL,           -- its id: the run may come after its files
  name text COLLATE "C" NOT NULL,           -- ours, of the file
  n    integer NOT NULL,                    -- from 0
  data bytea NOT NULL,
  PRIMARY KEY (run, name, n)
);
ALTER TABLE file_chunk ALTER COLUMN data SET STORAGE EXTERNAL;  -- most files are compressed already
