"""Real Apache Kafka and Valkey from pip-installable wheels, for laptops, demos and tests."""
