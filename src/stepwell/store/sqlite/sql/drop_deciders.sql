DELETE FROM decider WHERE approval = ?
