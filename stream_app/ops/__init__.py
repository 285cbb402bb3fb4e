"""Operations: what runs beside the learners, tells people and takes their orders."""
