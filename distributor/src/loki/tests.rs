mod hostile;
mod push;
