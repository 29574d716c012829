"""Pure rules of admission: verified images and admission policies."""
