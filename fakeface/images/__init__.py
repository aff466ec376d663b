"""Decode and check images, keep their pixels, change them (JPEG, blur, resizing, noise)."""
