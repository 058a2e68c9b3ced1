"""SaccadeDigits: simulated event recordings of scikit-learn's digits, the offline default."""
