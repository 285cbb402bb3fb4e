"""Operations: what runs beside the learners, sends alerts to people and takes their orders."""
