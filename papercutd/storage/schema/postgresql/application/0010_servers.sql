-- Several application servers on this database: each shows signs of life, a number that it counts
-- up, and says where it is. The writer's row says which of them writes, and in which history of
-- PostgreSQL's own (its timeline) it last did.
CREATE TABLE @server (
    id TEXT COLLATE "C" PRIMARY KEY,
    host TEXT COLLATE "C" NOT NULL,
    links BIGINT NOT NULL,
    devices BIGINT NOT NULL,
    beat BIGINT NOT NULL
);
ALTER TABLE @writer ADD COLUMN server TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE @writer ADD COLUMN history TEXT COLLATE "C" NOT NULL DEFAULT '';
