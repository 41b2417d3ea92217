mod export;
mod hostile;
