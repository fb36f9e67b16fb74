"""Networks that turn an image into features at several strides; their config classes are in vf.backbones."""
