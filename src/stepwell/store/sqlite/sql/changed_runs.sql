SELECT DISTINCT run.uuid FROM history JOIN run ON run.id = history.run WHERE history.id > ?
