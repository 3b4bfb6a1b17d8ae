DELETE FROM decider WHERE approval = ANY ($1::bigint[])
