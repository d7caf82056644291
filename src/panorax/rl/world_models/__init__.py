"""World models: latent states inferred from observations, and policies trained in imagination."""
